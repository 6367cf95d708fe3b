"""Everything that services say to each other: frozen, versioned types. `routes` says where each goes.

A message's `type` on the wire is its class name. Unknown fields are ignored (so a field may be added), an unknown
type is a dead letter (so a type is never changed, a new one is made). Times in messages are recorded, never compared.
`run` is always a run's ref, `n` an activation's number.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The root. `id` is deterministic where the thing is; `trace` is a W3C traceparent."""

    id: str
    at: datetime
    trace: str = ""


# --- kept: what only its sender knows -------------------------------------------------------------------------------


class TriggerReceived(Message, frozen=True, kw_only=True):
    """Something that may start runs. `id` is the trigger's id. `trigger_type` is one of FLOWS T-01."""

    trigger_type: str
    opts: Mapping[str, Any] = {}
    flow: str | None = None
    ver: int | None = None
    trigger: str | None = None
    broadcast: bool = False
    actor: str = ""


class CancelRequested(Message, frozen=True, kw_only=True):
    """Somebody wants a run to end."""

    run: str
    actor: str = ""


class DataProvided(Message, frozen=True, kw_only=True):
    """Values for a waiting data node, checked by the api against the form as it knew it.

    `n` is the activation that was asked: an answer that comes twice never answers the next question.
    """

    run: str
    node: str
    n: int = 0
    values: Mapping[str, Any] = {}
    actor: str = ""


class HostDeleted(Message, frozen=True, kw_only=True):
    """An operator deleted a host, or an ephemeral one signed off: its runs that wait end too."""

    host: str
    reason: str = ""


class AgentReport(Message, frozen=True, kw_only=True):
    """What every report of an agent carries: which doing of which run, under which epoch, and who says so."""

    run: str
    n: int
    epoch: int
    host: str


class AcceptedReport(AgentReport, frozen=True, kw_only=True):
    """The offer is in the agent's journal. May come after the end, or never when the end says it all."""


class StartedReport(AgentReport, frozen=True, kw_only=True):
    """The first process runs."""


class FinishedReport(AgentReport, frozen=True, kw_only=True):
    """No process is left. `status` None when nothing ran to an end; `error` when it could not be done as asked."""

    status: int | None = None
    error: str | None = None
    opts: Mapping[str, Any] = {}
    log_length: int = 0
    started: bool = True
    elapsed_seconds: float | None = None
    """From start to end by the host's monotonic clock."""


class OutputChunk(AgentReport, frozen=True, kw_only=True):
    """Bytes of a task's output from `offset` on. On the wire one JSON header line and the raw bytes."""

    offset: int
    data: bytes


# --- hints: what the store can say again -----------------------------------------------------------------------------


class PendAdded(Message, frozen=True, kw_only=True):
    """A run waits for a host."""

    run: str


class ClaimsReleased(Message, frozen=True, kw_only=True):
    """A run let go of its resource tags, its slot, or both."""

    run: str


class RunAssigned(Message, frozen=True, kw_only=True):
    """A run got a host."""

    run: str
    host: str
    epoch: int


class HostGone(Message, frozen=True, kw_only=True):
    """The dispatcher declared a host lost; the store has it too."""

    host: str


class TaskOffered(Message, frozen=True, kw_only=True):
    """Work for one agent: everything that it needs to know, so that it never asks.

    `definition` is the node's own options (lower-case keys), `env` the flow's, trigger's and node's lists joined,
    `opts` the effective options (FLOWS N-01), which are data. `exclusive`: the run holds resource tags or the
    flow's one workspace, so its processes must end before the host's lease does.
    """

    run: str
    n: int
    epoch: int
    host: str
    flow: str
    ver: int
    node: str
    task: str
    definition: Mapping[str, Any] = {}
    env: Sequence[str] = ()
    opts: Mapping[str, Any] = {}
    reuse_space: bool = False
    keep_space: bool = False
    exclusive: bool = False


class StopRequested(Message, frozen=True, kw_only=True):
    """End every process of that activation; an unknown one is never to be started."""

    run: str
    n: int
    epoch: int
    host: str
    reason: str = ""


class ReportSettled(Message, frozen=True, kw_only=True):
    """The hub has committed these reports: `(kind, run, n)` with kind accepted, started or finished."""

    host: str
    reports: Sequence[tuple[str, str, int]] = ()


class OutputSettled(Message, frozen=True, kw_only=True):
    """Output is stored without a gap up to these offsets: `(run, n, offset)`."""

    host: str
    offsets: Sequence[tuple[str, int, int]] = ()


class Beat(Message, frozen=True, kw_only=True):
    """An agent is there. `installation` belongs to its root, `incarnation` to its process.

    `sent_ms` is its boot clock: it comes back in the answer, and the lease runs from there."""

    host: str
    installation: str
    incarnation: str
    number: int
    sent_ms: int
    tags: Sequence[str] = ()
    slots: int = 10
    used: int = 0
    running: int = 0
    version: str = ""
    ephemeral: bool = False
    leaving: bool = False
    """It takes nothing more; an ephemeral one signs off with this once its tasks are done."""
    disk_free_bytes: int | None = None
    keeps: Sequence[str] = ()
    """Runs whose workspaces it would like to remove, being more than it is to keep: have they ended?"""


class BeatAnswered(Message, frozen=True, kw_only=True):
    """A dispatcher took the beat. `refused` when another installation beats under the same name."""

    host: str
    incarnation: str
    number: int
    sent_ms: int
    lost_after_seconds: float
    refused: str = ""
    ended: Sequence[str] = ()
    """Those of the beat's `keeps` that are archived, or not known any more."""


class DispatcherEcho(Message, frozen=True, kw_only=True):
    """A dispatcher says this to itself, the way beats come: what comes back shows that it hears them."""

    sender: str


class RunEvents(Message, frozen=True, kw_only=True):
    """For people who watch: events of one run as users see them (API.md), in order, and the run's state after them.

    `logs`: `(n, log_length)` of every activation whose end the same steps took; None when the sender does not say."""

    run: str
    flow: str
    ver: int
    phase: str
    outcome: str | None
    trigger_id: str
    events: Sequence[Mapping[str, Any]] = ()
    logs: Sequence[tuple[int, int]] | None = None


class TriggerSettled(Message, frozen=True, kw_only=True):
    """A trigger got its verdicts; `runs` are the refs that it made."""

    trigger_id: str
    runs: Sequence[str] = ()


class LogGrew(Message, frozen=True, kw_only=True):
    """For people who watch: the log of an activation is stored up to `length`."""

    run: str
    n: int
    length: int


class DeadLetter(Message, frozen=True, kw_only=True):
    """What could not be handled, with why; `body` is what came, as text with replacements, cut at 64 KiB."""

    queue: str
    reason: str
    body: str
