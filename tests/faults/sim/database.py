"""The simulated database: what is stored, as values, and the transactions that change it all at once or not at all."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from shared.flows.model import Flow
from shared.placement import AgentRow, ClaimRow
from shared.runs.events import RunEvent, TimerKind
from shared.runs.refs import RunNumber, RunRef, make_ref, number_of
from shared.runs.state import Activation, RunState, merge_index
from shared.store.codec import clean, clean_or_none, dumps, loads
from shared.store.port import (
    LockedRuns,
    RunChange,
    RunFacts,
    Schedule,
    StoreConflict,
    StoredFlow,
    StoredRun,
    StoreUnavailable,
    Timer,
    TriggerRow,
)
from tests.faults.sim.loop import OWNER


@dataclass(slots=True, eq=False)
class Run:
    """A run's rows. `state` is without its open activations: those are found among `activations`, as in a database."""

    facts: RunFacts
    state: RunState
    activations: dict[int, Activation] = field(default_factory=dict)
    touched: dict[int, datetime] = field(default_factory=dict)
    open: dict[int, Activation] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.facts.number

    def whole(self) -> StoredRun:
        """As a transaction reads it."""
        opened = {n: self.open[n] for n in sorted(self.open)}
        return StoredRun(self.facts, replace(self.state, open=opened, merges=merge_index(opened)))


@dataclass(slots=True)
class Host:
    """A row of `agent`, with every set of tags that it had."""

    row: AgentRow
    tag_sets: list[frozenset[str]] = field(default_factory=list)


@dataclass(slots=True)
class Flows:
    """Flows by id and version; what belongs to a flow is the same in all of its rows."""

    rows: dict[str, dict[int, StoredFlow]] = field(default_factory=dict)
    generation: int = 0

    def latest(self) -> list[StoredFlow]:
        return [versions[max(versions)] for _, versions in sorted(self.rows.items())]


def _real_time() -> datetime:
    return datetime.now(UTC)


class Database:
    """All tables. `now` is the database's clock."""

    def __init__(self, now: Callable[[], datetime] = _real_time) -> None:
        self.now = now
        self.flows = Flows()
        self.definitions: dict[str, Flow] = {}
        self.triggers: dict[str, TriggerRow] = {}
        self.runs: dict[int, Run] = {}
        self.numbers = 0
        self.timers: dict[tuple[int, int, TimerKind], Timer] = {}
        self.schedules: dict[tuple[str, str], Schedule] = {}
        self.agents: dict[str, Host] = {}
        self.claims: dict[str, ClaimRow] = {}
        self.keys: dict[str, tuple[str, str, datetime]] = {}
        self.logs: dict[tuple[int, int], tuple[bytearray, dict[int, bytes]]] = {}
        self.locks: dict[int, Transaction] = {}
        self.open: list[Transaction] = []
        self._waiting: list[asyncio.Future[None]] = []

    async def released(self) -> None:
        """Return when a transaction has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def run_of(self, ref: RunRef) -> Run | None:
        run = self.runs.get(number_of(ref))
        return run if run is not None and run.facts.ref == ref else None

    def break_off(self, owner: object) -> None:
        """A process is gone, or silent for too long: what it had begun is rolled back."""
        for transaction in [each for each in self.open if each.owner is owner]:
            transaction.release()


class Transaction:
    """What every transaction is: changes that wait for the commit, and locks that end with it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = database.now()
        self.owner = OWNER.get()
        self.over = False
        self._changes: list[Callable[[], None]] = []
        database.open.append(self)

    def lock(self, number: int) -> bool:
        """Whether the run's row is this transaction's now; another's is left alone."""
        holder = self.database.locks.setdefault(number, self)
        return holder is self

    def later(self, change: Callable[[], None]) -> None:
        self._changes.append(change)

    def check(self) -> None:
        """Whether it may be committed: raises StoreConflict. Asked before anything is changed."""

    def commit(self) -> None:
        if self.over:
            raise StoreUnavailable("the connection was lost before the commit")
        self.check()
        for change in self._changes:
            change()
        self.release()

    def release(self) -> None:
        """Its end, whatever it came to. Twice is harmless."""
        self.over = True
        database = self.database
        if self in database.open:
            database.open.remove(self)
            database.wake()
        for number in [number for number, holder in database.locks.items() if holder is self]:
            del database.locks[number]


Pause = Callable[[str], Any]


class HubRows(Transaction):
    """`HubTransaction`."""

    def __init__(self, database: Database, pause: Pause) -> None:
        super().__init__(database)
        self._pause = pause
        self._settled: dict[str, TriggerRow] = {}
        self._moved: dict[int, int] = {}
        self._fired: list[Schedule] = []

    async def lock_runs(self, refs: Collection[RunRef], known: Mapping[RunRef, StoredRun]) -> LockedRuns:
        await self._pause("lock")
        found: dict[RunRef, StoredRun] = {}
        held: set[RunRef] = set()
        for ref in sorted(refs, key=number_of):
            run = self.database.run_of(ref)
            if run is None:
                continue
            if self.lock(run.number):
                found[ref] = _as_known(run, known.get(ref))
            else:
                held.add(ref)
        return LockedRuns(found, frozenset(held))

    async def known_triggers(self, ids: Collection[str]) -> frozenset[str]:
        await self._pause("read")
        return frozenset(each for each in ids if each in self._settled or self.settled(each))

    def settled(self, trigger_id: str) -> bool:
        row = self.database.triggers.get(trigger_id)
        return row is not None and row.state != "inbox"

    async def flow_generation(self) -> int:
        return self.database.flows.generation

    async def new_numbers(self, count: int) -> Sequence[RunNumber]:
        first = self.database.numbers + 1
        self.database.numbers += count
        return [RunNumber(number) for number in range(first, first + count)]

    async def save(
        self, triggers: Sequence[TriggerRow], changes: Sequence[RunChange], definitions: Mapping[str, Flow]
    ) -> None:
        await self._pause("save")
        self._settled.update((trigger.id, trigger) for trigger in triggers)
        self._moved.update((number_of(c.state.ref), c.before_rev) for c in changes if c.adopted is None)
        self.check()
        for key, flow in definitions.items():
            self.later(lambda key=key, flow=flow: self.database.definitions.setdefault(key, flow))
        for trigger in triggers:
            self.later(lambda trigger=trigger: self._put_trigger(trigger))
        for change in changes:
            self.later(lambda change=change: self._put_run(change))

    async def advance_schedule(self, schedule: Schedule, next_at: datetime) -> bool:
        await self._pause("write")
        if not self._still_due(schedule):
            return False
        self._fired.append(schedule)
        row = self.database.schedules[schedule.flow, schedule.trigger]
        moved = replace(row, next_at=next_at, last_at=self.now)
        self.later(lambda: self.database.schedules.__setitem__((schedule.flow, schedule.trigger), moved))
        return True

    def _still_due(self, schedule: Schedule) -> bool:
        row = self.database.schedules.get((schedule.flow, schedule.trigger))
        return row is not None and row.next_at == schedule.next_at

    def check(self) -> None:
        if any(self.settled(each) for each in self._settled):
            raise StoreConflict("a trigger of this batch was settled by another")
        for number, rev in self._moved.items():
            run = self.database.runs.get(number)
            if run is None or run.state.rev != rev:
                raise StoreConflict("a run of this batch was changed by another")
        if not all(map(self._still_due, self._fired)):
            raise StoreConflict("a schedule was fired by another")

    def _put_trigger(self, trigger: TriggerRow) -> None:
        received_at = trigger.received_at or self.now
        self.database.triggers[trigger.id] = replace(trigger, actor=clean(trigger.actor), received_at=received_at)

    def _put_run(self, change: RunChange) -> None:
        database, number = self.database, number_of(change.state.ref)
        state = replace(change.state, open={}, merges={}, reason=clean(change.state.reason))
        if change.adopted is not None:
            assert number not in database.runs, f"run {number} was adopted twice"
            opts = loads(dumps(state.opts))
            run = database.runs[number] = Run(change.adopted, replace(state, opts=opts))
        else:
            run = database.runs[number]
            run.state = replace(state, opts=run.state.opts)
        for activation in change.activations:
            _put_activation(run, activation, self.now)
        seen = {event.seq for event in run.events}
        assert not seen & {event.seq for event in change.events}, f"run {number} numbers two events alike"
        run.events += change.events
        self._put_timers(change, number)
        if change.free_claims:
            for key in [key for key, claim in database.claims.items() if number_of(claim.run) == number]:
                del database.claims[key]

    def _put_timers(self, change: RunChange, number: int) -> None:
        for n, kind in change.cleared_timers:
            self.database.timers.pop((number, n, kind), None)
        for timer in change.set_timers:
            self.database.timers[number, timer.n, timer.kind] = timer


def _as_known(run: Run, known: StoredRun | None) -> StoredRun:
    """The reader's own copy while its rev holds, with the host and epoch of the row."""
    if known is None or known.state.rev != run.state.rev:
        return run.whole()
    if (known.state.host, known.state.epoch) == (run.state.host, run.state.epoch):
        return known
    return StoredRun(known.facts, replace(known.state, host=run.state.host, epoch=run.state.epoch))


def _put_activation(run: Run, activation: Activation, now: datetime) -> None:
    kept = replace(activation, reason=clean(activation.reason), stopping=clean_or_none(activation.stopping))
    run.activations[kept.n] = kept
    run.touched[kept.n] = now
    if kept.is_open:
        run.open[kept.n] = kept
    else:
        run.open.pop(kept.n, None)


__all__ = ["Database", "Host", "HubRows", "Run", "Transaction", "make_ref"]
