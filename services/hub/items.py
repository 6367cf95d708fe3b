"""What can be asked of the engine."""

from dataclasses import dataclass
from datetime import datetime

from shared.errors import FloeError
from shared.runs.events import Input
from shared.runs.refs import RunRef
from shared.store.port import Schedule, TriggerRow


class Poison(FloeError):
    """This item can never be handled; the text says why."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Judge a trigger and make its runs. A trigger that is settled already changes nothing."""

    trigger: TriggerRow


@dataclass(frozen=True, slots=True)
class Fire:
    """A schedule is due: move it on and adopt its trigger in one transaction; nothing if another hub did."""

    schedule: Schedule
    next_at: datetime
    trigger: TriggerRow


@dataclass(frozen=True, slots=True)
class Advance:
    """Inputs for one run. `at` in the inputs is replaced by the transaction's time.

    `sender`: the host that reports; of another than the run's nothing is taken. `resend`: say again what its host has
    not answered.
    """

    run: RunRef
    inputs: tuple[Input, ...] = ()
    sender: str | None = None
    resend: bool = False


Item = Adopt | Fire | Advance
