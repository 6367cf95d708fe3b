"""What a step asks the world to do. The hub turns these into rows and messages; doing one twice is harmless."""

from dataclasses import dataclass
from datetime import datetime

from shared.runs.events import RunEvent, TimerKind
from shared.runs.state import Outcome


@dataclass(frozen=True, slots=True)
class Emit:
    """An event for the run's log and for people who watch."""

    event: RunEvent


@dataclass(frozen=True, slots=True)
class StartTask:
    """Offer activation `n` to the run's host."""

    n: int


@dataclass(frozen=True, slots=True)
class StopTask:
    """End every process of activation `n`, or never start it."""

    n: int
    reason: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send TimerFired(n, kind) at `due_at`."""

    n: int
    kind: TimerKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """That timer is not needed any more."""

    n: int
    kind: TimerKind


@dataclass(frozen=True, slots=True)
class RequestData:
    """Activation `n` waits for a person."""

    n: int


@dataclass(frozen=True, slots=True)
class EndRun:
    """The run is archived. Once per run."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class FreeClaims:
    """The run is archived and no process is left: its resource tags come free. Once per run."""


Effect = Emit | StartTask | StopTask | SetTimer | ClearTimer | RequestData | EndRun | FreeClaims
