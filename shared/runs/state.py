"""What is kept of a run between two events. Values only: the rules are in `machine`.

The state holds what is open and nothing of what is done: closed activations leave it and live on as rows of their
own, the flow is an immutable snapshot beside it. So neither a step nor what is written per step grows with a run's
history (ARCHITECTURE §4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.runs.refs import RunRef

RunPhase = Literal["pending", "active", "archive"]
Outcome = Literal["good", "bad", "cancelled"]
Phase = Literal["queued", "running", "waiting", "done", "cancelled", "lost"]
Result = Literal["good", "bad", "error"]
Process = Literal["none", "out", "gone"]
"""Whether a host may be working on the activation: `out` from the first offer until nothing is left."""

MERGE_TYPES = frozenset({"all", "any"})
FINAL: frozenset[Phase] = frozenset({"done", "cancelled", "lost"})


@dataclass(frozen=True, slots=True)
class Activation:
    """A node's n-th doing in a run; `n` is unique in the run and counts from 1."""

    n: int
    node: str
    type: str
    phase: Phase
    opts: Mapping[str, Any] = field(default_factory=dict)
    """The opts of the event that started it; of a merge those of all that came, in order of arrival."""
    came: tuple[str, ...] = ()
    """Of a merge: the tags that have come."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Of a data node: the form's values so far."""
    process: Process = "none"
    stopping: str | None = None
    """Why its processes were told to end, if they were; the reason of its result when they are gone."""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    due_at: datetime | None = None
    """Of a timer node: when it fires."""
    status: int | None = None
    result: Result | None = None
    reason: str = ""
    accepted: bool = False
    """The host has it in its journal: the offer need not be sent again."""
    log_length: int | None = None
    """Bytes of output in all, once known."""
    recording: bool = False
    """Of an `any` merge that fired: tags not yet seen are still written down here (FLOWS N-10)."""

    @property
    def is_open(self) -> bool:
        """Whether the state still carries it: not final, a host may still be working on it, or it still records."""
        return self.phase not in FINAL or self.process == "out" or self.recording


@dataclass(frozen=True, slots=True)
class RunState:
    """A run. `rev` grows by one with every step that changed anything; `seq` numbers the last event emitted."""

    ref: RunRef
    phase: RunPhase = "pending"
    outcome: Outcome | None = None
    reason: str = ""
    opts: Mapping[str, Any] = field(default_factory=dict)
    trigger_node: str = ""
    host: str | None = None
    epoch: int = 0
    host_lost: bool = False
    rev: int = 0
    seq: int = 0
    next_n: int = 1
    out: int = 0
    """How many activations have `process == "out"`."""
    waiting: int = 0
    """How many data and timer activations wait."""
    open: Mapping[int, Activation] = field(default_factory=dict)
    merges: Mapping[str, int] = field(default_factory=dict)
    """Open merge activations by node id: `merge_index(open)`, kept so that an arrival need not search."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def busy(self) -> bool:
        """Whether the run uses a slot of its host (FLOWS D-07)."""
        return self.out > 0

    @property
    def holds_claims(self) -> bool:
        """Whether its resource tags are still its own (FLOWS D-04)."""
        return self.phase != "archive" or self.out > 0


def shown_status(activation: Activation) -> str:
    """The status of a node as users see it (API.md)."""
    return "finished" if activation.phase == "done" else activation.phase


def merge_index(activations: Mapping[int, Activation]) -> dict[str, int]:
    """`RunState.merges` of these open activations: what a store that reads them back has to fill in."""
    return {a.node: a.n for a in activations.values() if a.type in MERGE_TYPES}
