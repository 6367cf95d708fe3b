"""The least of a hub that the api's tests need: it adopts triggers, steps runs, stores and says live what it did.

No batches, no retries, no second hub. Tests hand in what a dispatcher and an agent would say.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.bus import messages as m
from shared.bus.port import CONTROL, TRIGGERS, Bus, Subscription
from shared.flows.model import definition_hash
from shared.runs.draft import Stepped
from shared.runs.effects import Emit, FreeClaims
from shared.runs.events import (
    Assigned,
    Cancel,
    DataSubmitted,
    Input,
    TaskFinished,
    TaskStarted,
    event_json,
)
from shared.runs.machine import Cause, adopt, step
from shared.runs.program import GraphProgram
from shared.runs.refs import RunRef, make_ref
from shared.runs.state import RunState
from shared.store.port import LogChunk, RunChange, RunFacts, Store, StoredFlow, TriggerRow, Verdict


class TinyHub:
    """`deaf` makes it do its work without a live word, as if every hint were lost."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus, self._store = bus, store
        self._subscriptions: list[Subscription] = []
        self.deaf = False
        self.heard: list[m.Message] = []

    async def start(self) -> None:
        self._subscriptions = [
            await self._bus.subscribe(TRIGGERS, self._on_messages),
            await self._bus.subscribe(CONTROL, self._on_messages),
        ]

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.stop()

    async def _on_messages(self, messages: Sequence[m.Message]) -> None:
        for message in messages:
            self.heard.append(message)
            match message:
                case m.TriggerReceived():
                    await self._adopt(message)
                case m.CancelRequested():
                    await self.step(RunRef(message.run), Cancel(_now()))
                case m.DataProvided():
                    await self.step(RunRef(message.run), DataSubmitted(_now(), message.node, message.values))
                case _:
                    pass

    async def _adopt(self, trigger: m.TriggerReceived) -> None:
        stored = await self._store.flow(trigger.flow, trigger.ver) if trigger.flow else None
        row = TriggerRow(trigger.id, trigger.trigger_type, "settled", trigger.opts, trigger.flow)
        if stored is None or stored.paused is not None:
            verdict = Verdict(trigger.flow or "", False, f"paused: {stored.paused}" if stored else "no such flow")
            await self._settle(TriggerRow(row.id, row.type, "settled", row.opts, row.flow, verdicts=[verdict]))
            return
        async with self._store.transaction() as tx:
            if trigger.id in await tx.known_triggers([trigger.id]):
                return
            (number,) = await tx.new_numbers(1)
            ref = make_ref("h1", number)
            node = trigger.trigger or next(n.id for n in stored.flow.triggers if n.type == "data")
            stepped = adopt(ref, Cause(trigger.id, trigger.trigger_type, node), trigger.opts, tx.now)
            facts = _facts(ref, number, stored, trigger)
            change = RunChange(stepped.run, 0, facts, stepped.touched, _events(stepped))
            verdict = Verdict(stored.flow.id, True, f"trigger {node} matched")
            settled = TriggerRow(row.id, row.type, "settled", row.opts, row.flow, verdicts=[verdict], runs=[ref])
            await tx.save([settled], [change], {facts.definition: stored.flow})
        await self._say([_live(facts, stepped)])
        await self._say([_settled(settled)])

    async def _settle(self, row: TriggerRow) -> None:
        async with self._store.transaction() as tx:
            await tx.save([row], [], {})
        await self._say([_settled(row)])

    async def step(self, ref: RunRef, *inputs: Input) -> RunState:
        """Advance a run by inputs, one after another."""
        async with self._store.transaction() as tx:
            run = (await tx.lock_runs([ref], {})).runs[ref]
            program = GraphProgram(await self._store.definition(run.facts.definition))
            state, said = run.state, []
            for event in inputs:
                stepped = step(program, state, event)
                freed = any(isinstance(effect, FreeClaims) for effect in stepped.effects)
                change = RunChange(stepped.run, state.rev, None, stepped.touched, _events(stepped), free_claims=freed)
                if stepped.run.rev != state.rev:
                    await tx.save([], [change], {})
                said.append(_live(run.facts, stepped))
                state = stepped.run
        await self._say(said)
        return state

    async def assign(self, ref: RunRef, host: str = "h1") -> RunState:
        """What the dispatcher would say."""
        return await self.step(ref, Assigned(_now(), host, 1))

    async def finish(self, ref: RunRef, n: int, status: int = 0, log: bytes = b"", announce: int | None = None) -> None:
        """What the agent would say: output, and an end that announces its length (or another)."""
        if log:
            await self.print(ref, n, 0, log)
        length = len(log) if announce is None else announce
        await self.step(ref, TaskStarted(_now(), n, 1), TaskFinished(_now(), n, 1, status, log_length=length))

    async def print(self, ref: RunRef, n: int, offset: int, data: bytes) -> None:
        """Store output."""
        lengths = await self._store.append_output([LogChunk(ref, n, offset, data)])
        await self._say([m.LogGrew(id="log", at=_now(), run=ref, n=n, length=lengths[ref, n])])

    async def _say(self, messages: Sequence[m.Message]) -> None:
        if not self.deaf:
            await self._bus.publish(messages)


def _facts(ref: RunRef, number: int, stored: StoredFlow, trigger: m.TriggerReceived) -> RunFacts:
    flow = stored.flow
    return RunFacts(
        number=number,  # type: ignore[arg-type]
        ref=ref,
        flow=flow.id,
        ver=flow.ver,
        definition=definition_hash(flow),
        trigger_id=trigger.id,
        trigger_type=trigger.trigger_type,
        host_tags=flow.host_tags,
        resource_tags=flow.resource_tags,
        reuse_space=flow.reuse_space,
    )


def _events(stepped: Stepped) -> list:  # type: ignore[type-arg]
    return [effect.event for effect in stepped.effects if isinstance(effect, Emit)]


def _live(facts: RunFacts, stepped: Stepped) -> m.RunEvents:
    return m.RunEvents(
        id=f"{facts.ref}/events/{stepped.run.seq}",
        at=_now(),
        run=facts.ref,
        flow=facts.flow,
        ver=facts.ver,
        phase=stepped.run.phase,
        outcome=stepped.run.outcome,
        trigger_id=facts.trigger_id,
        events=[event_json(event, facts.flow, facts.ver) for event in _events(stepped)],
        logs=[(a.n, a.log_length) for a in stepped.touched if a.log_length is not None],
    )


def _settled(row: TriggerRow) -> m.TriggerSettled:
    return m.TriggerSettled(id=f"{row.id}/settled", at=_now(), trigger_id=row.id, runs=[str(r) for r in row.runs])


def _now() -> datetime:
    return datetime.now(UTC)
