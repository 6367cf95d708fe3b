"""What a fault is to the nemesis, and what it may cost."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.nemesis.world import World

SUPERVISOR_DIED = "the supervisor died"
LEASE_OVER = "had lost touch with the cluster"
HOST_LOST = " lost"
"""Parts of the reasons that a run may end with when its host, its supervisor or its lease was taken away."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` does it, lets it last, takes it back, and returns what it did. `unproven`: what cannot be done here."""

    code: str
    what: str
    inject: Callable[[World, random.Random], str]
    unproven: str = ""
