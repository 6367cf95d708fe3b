"""Faults planted into floe, to show that the simulation finds such things: each is a promise's mechanism taken out."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from services.agent.journal import JournalUnwritable
from services.dispatcher.presence import Presence
from services.hub.service import HubService
from services.hub.sweep import Sweep
from shared.bus.messages import Message, StopRequested, TaskOffered
from shared.flows.model import Flow
from shared.runs import machine as run_machine
from shared.runs.draft import Draft
from shared.runs.effects import FreeClaims
from shared.store.port import RunChange, TriggerRow
from tests.faults.sim.agent import Agent, MachineWork
from tests.faults.sim.database import Database, HubRows
from tests.faults.sim.world import Parts, World


@contextmanager
def planted(name: str | None) -> Iterator[Parts]:
    """The parts of a world with that fault in it; what was patched is whole again afterwards."""
    if name is None:
        yield Parts()
        return
    undo: list[Callable[[], None]] = []

    def patch(owner: Any, attribute: str, value: Any) -> None:
        before = owner.__dict__[attribute] if isinstance(owner, type) else getattr(owner, attribute)
        undo.append(lambda: setattr(owner, attribute, before))
        setattr(owner, attribute, value)

    try:
        yield FAULTS[name](patch)
    finally:
        for each in reversed(undo):
            each()


Patch = Callable[[Any, str, Any], None]


def _no_fencing(patch: Patch) -> Parts:
    """The machine takes an assignment or a report of any epoch."""
    assigned, reported = run_machine._assigned, run_machine._reported

    def any_assigned(program: Any, draft: Any, event: Any) -> None:
        if draft.run.phase == "pending":
            draft.set(epoch=event.epoch, host=event.host)
        assigned(program, draft, event)

    def any_reported(program: Any, draft: Any, event: Any) -> None:
        reported(program, draft, replace(event, epoch=draft.run.epoch))

    patch(run_machine, "_assigned", any_assigned)
    patch(run_machine, "_reported", any_reported)
    return Parts()


def _claims_freed_early(patch: Patch) -> Parts:
    """Tags come free when a run is archived, though processes of it are left."""

    def early(self: Draft) -> None:
        if self.run.phase == "archive" != self.before.phase:
            self.effects.append(FreeClaims())

    patch(Draft, "free_claims_if_idle", early)
    return Parts()


def _no_dedupe(patch: Patch) -> Parts:
    """A trigger that comes twice is adopted twice."""

    async def none_known(self: HubRows, ids: Collection[str]) -> frozenset[str]:
        return frozenset()

    patch(HubRows, "known_triggers", none_known)
    patch(HubRows, "settled", lambda self, trigger_id: False)
    return Parts()


def _starts_before_journal(patch: Patch) -> Parts:
    """The agent starts what it was offered, and writes it down half a second later."""
    return Parts(agent=_HastyAgent)


class _HastyWork(MachineWork):
    def offered(self, offers: Sequence[TaskOffered]) -> None:
        journal, late = self._journal, []
        honest = journal.append
        journal.append = lambda new, sync=False: late.extend(new)  # type: ignore[method-assign]
        try:
            super().offered(offers)
        finally:
            journal.append = honest  # type: ignore[method-assign]
        if late:
            self._machine.loop.call_later(0.5, self._write_down, honest, late)

    def _write_down(self, append: Any, late: list[Any]) -> None:
        with suppress(JournalUnwritable):
            append(late, sync=True)


class _HastyAgent(Agent):
    work_type = _HastyWork


def _no_sweep(patch: Patch) -> Parts:
    """Nobody says again what stays unanswered."""

    async def nothing(self: Sweep) -> float:
        return 3.0

    patch(Sweep, "turn", nothing)
    return Parts()


def _acks_before_commit(patch: Patch) -> Parts:
    """The hub acknowledges triggers before they are stored."""

    async def hasty(self: HubService, batch: Sequence[Message]) -> None:
        import asyncio

        self._soon = asyncio.create_task(honest(self, batch))  # type: ignore[attr-defined]

    honest = HubService._on_triggers
    patch(HubService, "_on_triggers", hasty)
    return Parts()


def _settles_before_commit(patch: Patch) -> Parts:
    """The hub tells agents that their reports are stored before they are."""

    async def hasty(self: HubService, batch: Any, known: Any, items: Any) -> None:
        if items and getattr(items[0], "sender", None) is not None:
            await self._settle(known)
        await honest(self, batch, known, items)

    honest = HubService._submit
    patch(HubService, "_submit", hasty)
    return Parts()


def _no_tombstone(patch: Patch) -> Parts:
    """A stop for an unknown key is answered, but leaves nothing that refuses a later offer."""
    return Parts(agent=_ForgetfulAgent)


class _ForgetfulWork(MachineWork):
    def _stop_unknown(self, key: str, request: StopRequested) -> None:
        super()._stop_unknown(key, request)
        activation = self.activations.pop(key, None)
        if activation is not None:
            machine = self._machine
            machine.journal[:] = [each for each in machine.journal if each.key != key]
            machine.synced = len(machine.journal)
            self._journal.live.pop(key, None)


class _ForgetfulAgent(Agent):
    work_type = _ForgetfulWork


def _lease_ignored(patch: Patch) -> Parts:
    """The supervisor does not end the tasks of runs that hold tags when the lease is over."""

    def prepare(world: World) -> None:
        for machine in world.machines.values():
            machine.lease_kept = False

    return Parts(prepare=prepare)


def _own_outage_loses_hosts(patch: Patch) -> Parts:
    """A dispatcher that heard nothing itself declares everybody lost."""
    patch(Presence, "_heard_for", lambda self: 1e9)
    patch(Presence, "_silent_for", _by_the_database_clock)
    return Parts()


def _by_the_database_clock(self: Presence, agent: Any) -> float:
    from shared.store.port import StoreUnavailable

    database: Database = self._store.database  # type: ignore[attr-defined]
    if agent.last_seen_at is None:
        raise StoreUnavailable("never seen")
    return (database.now() - agent.last_seen_at).total_seconds()


def _forgets_runs(patch: Patch) -> Parts:
    """A commit that conflicts halfway keeps what it had written of the first run."""

    async def leaky(self: HubRows, triggers: Sequence[TriggerRow], changes: Sequence[RunChange], flows: Any) -> None:
        await honest(self, triggers, changes, flows)
        for key, flow in dict[str, Flow](flows).items():
            self.database.definitions.setdefault(key, flow)
        for change in changes[:1]:
            if change.adopted is not None:
                self._put_run(change)
                self._changes.pop()

    honest = HubRows.save
    patch(HubRows, "save", leaky)
    return Parts()


FAULTS: dict[str, Callable[[Patch], Parts]] = {
    "fencing": _no_fencing,
    "claims": _claims_freed_early,
    "dedupe": _no_dedupe,
    "journal": _starts_before_journal,
    "sweep": _no_sweep,
    "ack": _acks_before_commit,
    "settle": _settles_before_commit,
    "tombstone": _no_tombstone,
    "lease": _lease_ignored,
    "outage": _own_outage_loses_hosts,
    "atomic": _forgets_runs,
}
