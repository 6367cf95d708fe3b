"""What a fault is to the nemesis."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.nemesis.world import World


@dataclass(frozen=True, slots=True)
class Fault:
    """`inject` does it, lets it last, takes it back, and returns what it did. `unproven`: what cannot be done here."""

    code: str
    what: str
    inject: Callable[[World, random.Random], str]
    unproven: str = ""
