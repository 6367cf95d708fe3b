"""The store as services see it: what each of them needs, and nothing more. Adapters: `postgres` and `sqlite`.

Three ports on one database: the hub's (runs), the dispatcher's (placement), and the api's (reading, flows, inbox). One
adapter object implements all three; one conformance suite holds every adapter. All times are aware UTC and come from
the database's clock. Any call may raise StoreUnavailable: then nothing is known about whether it was committed, and
every write here may be repeated.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from shared.errors import Unavailable
from shared.flows.model import Flow
from shared.placement import AgentRow as AgentRow
from shared.placement import AgentState as AgentState
from shared.placement import Assignment as Assignment
from shared.placement import ClaimRow as ClaimRow
from shared.placement import PendRow as PendRow
from shared.placement import PlacementView as PlacementView
from shared.runs.events import RunEvent, TimerKind
from shared.runs.refs import RunNumber, RunRef
from shared.runs.state import Activation, Outcome, RunPhase, RunState


class StoreUnavailable(Unavailable):
    """The database is out of reach, or gave up on the transaction after retries."""


class StoreConflict(StoreUnavailable):
    """Somebody else changed the same thing first; the whole transaction is to be tried again."""


# --- what the hub keeps ----------------------------------------------------------------------------------------------

TriggerState = Literal["inbox", "settled", "refused"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a flow did or did not match a trigger."""

    flow: str
    matched: bool
    why: str


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """An inbound trigger. `state` inbox: the api put it here because the broker was away; nobody adopted it yet."""

    id: str
    type: str
    state: TriggerState
    opts: Mapping[str, Any]
    flow: str | None = None
    ver: int | None = None
    trigger: str | None = None
    broadcast: bool = False
    actor: str = ""
    received_at: datetime | None = None
    verdicts: Sequence[Verdict] = ()
    runs: Sequence[RunRef] = ()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is fixed when a run is adopted. Written once."""

    number: RunNumber
    ref: RunRef
    flow: str
    ver: int
    definition: str
    """Hash of the flow's snapshot."""
    trigger_id: str
    trigger_type: str
    host_tags: tuple[str, ...]
    resource_tags: tuple[str, ...]
    reuse_space: bool


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with its row locked. `state.open` holds every open activation."""

    facts: RunFacts
    state: RunState


@dataclass(frozen=True, slots=True)
class LockedRuns:
    """`runs`: locked by this transaction. `held`: another holds them now. Refs in neither do not exist."""

    runs: Mapping[RunRef, StoredRun]
    held: frozenset[RunRef]


@dataclass(frozen=True, slots=True)
class Timer:
    """Something that a run waits for; `n` 0 is the run's own timeout."""

    run: RunRef
    n: int
    kind: TimerKind
    due_at: datetime


@dataclass(frozen=True, slots=True)
class RunChange:
    """Everything that one or several steps did to one run, to be written in one go.

    `adopted` for a new run (insert), else the row is updated where `rev` still is `before_rev`. `activations` are all
    that were touched (upsert). `free_claims` deletes its claims. `state.opts` is written on insert only.
    """

    state: RunState
    before_rev: int
    adopted: RunFacts | None = None
    activations: Sequence[Activation] = ()
    events: Sequence[RunEvent] = ()
    set_timers: Sequence[Timer] = ()
    cleared_timers: Sequence[tuple[int, TimerKind]] = ()
    free_claims: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """A timer or cron trigger that is armed. `spec` changes when the trigger's rule does (then `next_at` is anew)."""

    flow: str
    ver: int
    trigger: str
    spec: str
    next_at: datetime
    last_at: datetime | None = None


class HubTransaction(Protocol):
    """One batch of the hub. Commits when the context ends without an error."""

    now: datetime
    """The database's time at its begin."""

    async def lock_runs(self, refs: Collection[RunRef], known: Mapping[RunRef, StoredRun]) -> LockedRuns:
        """Lock in order of number, skipping what others hold. A `known` run whose rev still holds is given back as it
        is, without reading its activations again."""

    async def known_triggers(self, ids: Collection[str]) -> frozenset[str]:
        """Those of the ids that are settled or refused already (their runs exist). Inbox rows are locked."""

    async def flow_generation(self) -> int:
        """A number that grows with every change to flows (put, pause, disarm)."""

    async def new_numbers(self, count: int) -> Sequence[RunNumber]:
        """Numbers never given out before, ascending."""

    async def save(
        self, triggers: Sequence[TriggerRow], changes: Sequence[RunChange], definitions: Mapping[str, Flow]
    ) -> None:
        """Write everything: a handful of multi-row statements. `definitions` are snapshots by hash that new runs need
        (inserted where missing). Raises StoreConflict when a trigger was settled by another, or a rev moved."""

    async def advance_schedule(self, schedule: Schedule, next_at: datetime) -> bool:
        """Set `next_at` and `last_at` (= now) if the row still has `schedule.next_at`; else False, nothing changed."""


class HubStore(Protocol):
    """What hubs use."""

    def transaction(self) -> AbstractAsyncContextManager[HubTransaction]:
        """A transaction; retries of lost connections and serialisation failures are the caller's: StoreConflict and
        StoreUnavailable say that all of it may be tried again."""

    async def definition(self, definition: str) -> Flow:
        """The snapshot with that hash. Raises NotFound."""

    async def latest_flows(self, known: int = -1) -> tuple[int, Sequence["StoredFlow"]]:
        """The generation, and the latest version of every armed flow, in order of id (none when it is `known`)."""

    async def flow_version(self, flow: str, ver: int) -> "StoredFlow | None":
        """A stored version by name."""

    async def due_timers(self, limit: int) -> tuple[datetime, Sequence[Timer]]:
        """The database's time, and timers that are due or next to be: oldest first, due ones and at most one later."""

    async def sync_schedules(self, wanted: Sequence[Schedule]) -> None:
        """Make the table hold exactly these triggers: new or changed `spec` gets `next_at`, the rest keep theirs."""

    async def schedules(self) -> tuple[datetime, Sequence[Schedule]]:
        """The database's time and all schedules, soonest first."""

    async def pending_of_trigger(self, flow: str, trigger: str) -> bool:
        """Whether a run of that flow's trigger still pends (FLOWS T-04)."""

    async def unstarted(self, limit: int) -> Sequence[tuple[RunRef, str, int]]:
        """Pending runs with a host: `(ref, host, epoch)`. What a lost RunAssigned left behind."""

    async def unanswered(self, older_than_seconds: float, limit: int) -> Sequence[RunRef]:
        """Runs with activations whose processes are out and whose offer was not accepted, or that are told to stop (or
        whose run is archived), unanswered for that long. At most `limit` activations; each is found again only after
        that time."""

    async def runs_on_lost_hosts(self, limit: int) -> Sequence[tuple[RunRef, str, bool]]:
        """Runs (not archived, or archived with processes out) on hosts that are lost or deleted and that still have
        processes out, or that merely wait on a deleted one: `(ref, host, deleted)`."""

    async def inbox(self, limit: int) -> Sequence[TriggerRow]:
        """Triggers that nobody adopted yet, oldest first."""

    async def unannounced_pends(self, older_than_seconds: float) -> bool:
        """Whether any pend without a host is older than that (the dispatcher may have missed its hint)."""

    async def append_output(self, chunks: Sequence["LogChunk"]) -> Mapping[tuple[RunRef, int], int]:
        """Store chunks (a repeated or overlapping one changes nothing that is stored). Returns for each activation up
        to where its log is stored without a gap."""

    async def prune(self, keep_runs_days: int, keep_triggers_days: int, limit: int) -> int:
        """Delete a batch of what is too old (archived runs with all that belongs to them, triggers, logs, definitions
        that nobody needs). Returns how many rows went; 0 when done. 0 days keeps all."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Output of an activation from `offset` on."""

    run: RunRef
    n: int
    offset: int
    data: bytes


# --- what the dispatcher keeps ---------------------------------------------------------------------------------------


class PlacementTransaction(Protocol):
    """One batch of decisions, under the dispatchers' lock."""

    async def view(self, limit: int) -> PlacementView:
        """The oldest `limit` pends without a host, every agent but deleted ones, all claims."""

    async def assign(self, assignments: Sequence[Assignment]) -> Mapping[RunRef, int]:
        """Set hosts (only where `host is null and phase = 'pending'`), raise epochs by one, insert claims. Returns the
        new epoch of each that was taken; one whose claim is held, or that does not pend any more, is left out whole."""


class DispatcherStore(Protocol):
    """What dispatchers use."""

    def placement(self) -> AbstractAsyncContextManager[PlacementTransaction]:
        """A transaction under the advisory lock of placement."""

    async def beat(self, agents: Sequence[AgentRow]) -> Mapping[str, str]:
        """Upsert what the beats said (tags, slots, running, version, installation, incarnation, disk) and set
        `last_seen_at` now and state up (`left` for a leaving one: AgentRow.state says so). A host that is up or away
        under another installation is left alone: returned with why. A deleted host that beats again is up again."""

    async def agents(self) -> tuple[datetime, Sequence[AgentRow]]:
        """The database's time and every host, deleted ones too."""

    async def set_agent_state(self, host: str, state: AgentState, unless_seen_after: datetime) -> bool:
        """Conditional: False when it was seen after that time, and nothing changed."""

    async def ended(self, refs: Collection[RunRef]) -> frozenset[RunRef]:
        """Those that are archived, or not known any more."""

    async def unassign_lost(self) -> Sequence[RunRef]:
        """Pending runs whose host is lost, left or deleted and that were never started: host null again, claims
        deleted. Their next assignment has a higher epoch."""


# --- what the api reads and writes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """A version of a flow. `armed`: its triggers work (the latest version, not removed from the configuration)."""

    flow: Flow
    stored_at: datetime
    source: str = "api"
    armed: bool = True
    paused: str | None = None
    problems: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in lists."""

    ref: RunRef
    number: int
    flow: str
    ver: int
    phase: RunPhase
    outcome: Outcome | None
    reason: str
    host: str | None
    trigger_id: str
    trigger_type: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run, whole. `activations` are the latest of each node; `counts` how many each node had."""

    row: RunRow
    definition: str
    trigger_node: str
    opts: Mapping[str, Any]
    seq: int
    activations: Sequence[Activation] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; None is any."""

    flow: str | None = None
    phase: RunPhase | None = None
    outcome: Outcome | None = None
    host: str | None = None
    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """A flow in lists: its latest version, and its last runs, newest first."""

    stored: StoredFlow
    runs: Sequence[RunRow] = ()


class ApiStore(Protocol):
    """What the api uses."""

    async def put_flow(
        self,
        flow: Flow,
        *,
        source: str,
        problems: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[StoredFlow, bool]:
        """FLOWS F-05: identical to a stored version → that one and False; else stored under its `ver`, or when that
        is taken by another text under the highest + 1, and True."""

    async def disarm_flows(self, source: str, keep: Collection[str]) -> Sequence[str]:
        """Flows of that source that are not in `keep` lose their triggers; their runs stay."""

    async def flow(self, flow: str, ver: int | None = None) -> StoredFlow | None:
        """A version; None means the latest."""

    async def flows(self, limit: int, after: str | None = None, runs: int = 1) -> Sequence[FlowSummary]:
        """Latest versions in order of id, from after the key on, each with its last `runs` runs."""

    async def flow_versions(self, flow: str) -> Sequence[StoredFlow]:
        """All versions, newest first."""

    async def runs(self, filter: RunFilter, limit: int, before: int | None = None) -> Sequence[RunRow]:
        """Newest first, by number, from before the key on."""

    async def run(self, ref: RunRef) -> RunDetail | None:
        """One run. None when the number is unknown or has another host name."""

    async def activations(self, ref: RunRef, node: str) -> Sequence[Activation]:
        """All of a node's, oldest first."""

    async def definition(self, definition: str) -> Flow:
        """The snapshot with that hash. Raises NotFound."""

    async def events(self, ref: RunRef, after: int, limit: int) -> Sequence[RunEvent]:
        """Oldest first, seq > after."""

    async def output(self, ref: RunRef, n: int, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes of the contiguous log from `offset`; empty at its end."""

    async def output_length(self, ref: RunRef, n: int) -> int:
        """How far the log is stored without a gap."""

    async def trigger(self, trigger_id: str) -> TriggerRow | None:
        """A trigger with its verdicts."""

    async def put_inbox(self, trigger: TriggerRow) -> None:
        """Keep a trigger that the broker did not take. The same id again changes nothing."""

    async def remember(self, key: str, fingerprint: str, trigger_id: str) -> tuple[str, str]:
        """Idempotency: keep `(fingerprint, trigger_id)` under a key for 24 h if it is free; returns what is kept."""

    async def placement_view(self, limit: int) -> PlacementView:
        """What the dispatcher would see, read without its lock."""

    async def agents(self) -> tuple[datetime, Sequence[AgentRow]]:
        """The database's time and every host, deleted ones too."""

    async def set_draining(self, host: str, draining: bool) -> None:
        """Raises NotFound."""

    async def delete_agent(self, host: str) -> None:
        """State deleted. Raises NotFound."""

    async def pause_flow(self, flow: str, why: str | None) -> None:
        """Pause with a reason, or resume with None. Raises NotFound."""

    async def ping(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""


class Store(HubStore, DispatcherStore, ApiStore, Protocol):
    """All of it, and its life."""

    async def start(self, *, migrate: bool) -> None:
        """Connect (waiting while the database is away, and saying so), check the schema's version; with `migrate`
        bring it up to date under a lock, else wait until somebody did."""

    async def close(self) -> None:
        """Finish what is in hand and disconnect. Twice is harmless."""
