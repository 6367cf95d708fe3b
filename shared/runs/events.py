"""What comes into the run machine (inputs), and what users see of it (run events)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.runs.refs import RunRef
from shared.runs.state import Result

SourceClass = Literal["sys", "trigger", "task", "merge"]
TimerKind = Literal["wait", "timeout"]


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run as it is kept and shown (FLOWS E-01); `seq` is 1, 2, 3… without gaps."""

    run: RunRef
    seq: int
    tag: str
    source_class: SourceClass
    source_id: str
    good: bool
    opts: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Assigned:
    """The dispatcher gave the run a host. Taken only while pending."""

    at: datetime
    host: str
    epoch: int


@dataclass(frozen=True, slots=True)
class TaskAccepted:
    """The host has the offer in its journal."""

    at: datetime
    n: int
    epoch: int


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """The host started the first process of the activation."""

    at: datetime
    n: int
    epoch: int


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """No process of the activation is left. `result` is what the task type says: `error` when it could not be done
    as asked; otherwise the status decides (FLOWS N-03). `started` false: it never ran (stopped before its start)."""

    at: datetime
    n: int
    epoch: int
    status: int | None = None
    error: str | None = None
    """The reason when the node could not be executed as asked (FLOWS N-04)."""
    opts: Mapping[str, Any] = field(default_factory=dict)
    log_length: int = 0
    started: bool = True
    elapsed_seconds: float | None = None
    """From start to end by the host's monotonic clock."""


@dataclass(frozen=True, slots=True)
class HostLost:
    """The run's host is lost or deleted (FLOWS N-11). `gone`: it will not return, so runs that only wait end too."""

    at: datetime
    host: str
    gone: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class DataSubmitted:
    """Values for a waiting data node, already checked by field. `n` is the activation that was asked.

    0 means the latest one that waits: for callers that cannot send the same answer twice.
    """

    at: datetime
    node: str
    values: Mapping[str, Any]
    n: int = 0


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that this run had set is due; `n` 0 is the run's own timeout."""

    at: datetime
    n: int
    kind: TimerKind


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants the run to end (FLOWS N-09)."""

    at: datetime
    reason: str = "cancelled"


Input = Assigned | TaskAccepted | TaskStarted | TaskFinished | HostLost | DataSubmitted | TimerFired | Cancel

__all__ = [
    "Assigned",
    "Cancel",
    "DataSubmitted",
    "HostLost",
    "Input",
    "Result",
    "RunEvent",
    "SourceClass",
    "TaskAccepted",
    "TaskFinished",
    "TaskStarted",
    "TimerFired",
    "TimerKind",
    "event_json",
]


def event_json(event: RunEvent, flow: str, ver: int) -> dict[str, Any]:
    """An event as users see it (API.md, last paragraph)."""
    return {
        "id": f"{event.run}/{event.seq}",
        "seq": event.seq,
        "run": event.run,
        "flow": flow,
        "ver": ver,
        "tag": event.tag,
        "source": {"class": event.source_class, "id": event.source_id},
        "good": event.good,
        "opts": event.opts,
        "at": event.at.isoformat().replace("+00:00", "Z"),
    }
