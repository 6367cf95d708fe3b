"""One transaction's worth of work: items in, rows and hints out. Made and spent inside `Engine._commit`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from services.hub.adopt import Judgement, Match, judge
from services.hub.changes import RunWork
from services.hub.config import HubConfig
from services.hub.items import Adopt, Advance, Fire, Item, Poison
from services.hub.knowledge import Knowledge
from shared.bus import messages as m
from shared.errors import FloeError
from shared.flows.model import Flow
from shared.runs.machine import Cause, adopt, step
from shared.runs.refs import RunNumber, RunRef, make_ref
from shared.store.port import (
    HubTransaction,
    LockedRuns,
    RunFacts,
    StoredFlow,
    StoredRun,
    StoreUnavailable,
    TriggerRow,
    Verdict,
)

_NOTHING = LockedRuns({}, frozenset())


class Batch:
    """Works on what one transaction has locked."""

    def __init__(self, tx: HubTransaction, knowledge: Knowledge, config: HubConfig, locked: LockedRuns | None) -> None:
        self._tx, self._knowledge, self._config = tx, knowledge, config
        self._locked = locked or _NOTHING
        self.held = self._locked.held
        self.poison: dict[int, Poison] = {}
        self._works: dict[RunRef, RunWork] = {}
        self._resend: set[RunRef] = set()
        self._adopting: dict[str, TriggerRow] = {}
        self._settled: list[TriggerRow] = []
        self._definitions: dict[str, Flow] = {}

    async def take(self, item: Item) -> None:
        """Work on one item. One that can never be handled is noted in `poison`; the others go on."""
        match item:
            case Advance():
                if item.run in self._locked.runs:
                    await self._advance(item)
            case Adopt():
                self._adopting[item.trigger.id] = item.trigger
            case Fire():
                if await self._tx.advance_schedule(item.schedule, item.next_at):
                    self._adopting[item.trigger.id] = item.trigger

    async def _advance(self, item: Advance) -> None:
        try:
            work = await self._work(item.run)
            if item.sender is not None and item.sender != work.state.host:
                return
            state, steps = work.state, []
            for event in item.inputs:
                steps.append(step(work.program, state, replace(event, at=self._tx.now)))
                state = steps[-1].run
        except StoreUnavailable:
            raise
        except (LookupError, TypeError, ValueError, FloeError) as error:
            self.poison[id(item)] = Poison(f"run {item.run}: {error}")
            return
        for stepped in steps:
            work.absorb(stepped)
        if item.resend:
            self._resend.add(item.run)

    async def _work(self, ref: RunRef) -> RunWork:
        work = self._works.get(ref)
        if work is None:
            stored = self._locked.runs[ref]
            program = await self._knowledge.program(stored.facts.definition)
            state = stored.state
            work = RunWork(stored.facts, program, state, state.rev, was_busy=state.busy)
            self._works[ref] = work
        return work

    async def write(self) -> None:
        """Adopt what there is to adopt, then write everything in one go."""
        if self._adopting or any(work.ended for work in self._works.values()):
            await self._knowledge.refresh(await self._tx.flow_generation())
        self._chain_ended_runs()
        if self._adopting:
            await self._adopt_all()
        changes = [work.change() for work in self._works.values() if work.changed]
        if changes or self._settled:
            await self._tx.save(self._settled, changes, self._definitions)

    def _chain_ended_runs(self) -> None:
        """FLOWS T-01 `flow`: the end of one flow starts others, in the same transaction."""
        for work in self._works.values():
            if work.ended is None or work.facts.flow not in self._knowledge.chained:
                continue
            chain = work.state.opts.get("chain", 0)
            opts = {
                "flow": work.facts.flow,
                "ver": work.facts.ver,
                "run": work.state.ref,
                "outcome": work.ended.outcome,
                "chain": (chain if isinstance(chain, int) else 0) + 1,
            }
            trigger = TriggerRow(f"flow/{work.state.ref}", "flow", "inbox", opts, actor="floe")
            self._adopting[trigger.id] = trigger

    async def _adopt_all(self) -> None:
        settled = await self._tx.known_triggers(self._adopting)
        judged = []
        for trigger in self._adopting.values():
            if trigger.id not in settled:
                judged.append((trigger, await self._judge(trigger)))
        numbers = iter(await self._tx.new_numbers(sum(len(j.matches) for _, j in judged)))
        for trigger, judgement in judged:
            runs = [self._new_run(trigger, match, next(numbers)) for match in judgement.matches]
            self._settle(trigger, judgement.verdicts, runs)

    async def _judge(self, trigger: TriggerRow) -> Judgement:
        judgement = judge(trigger, await self._candidates(trigger))
        if trigger.type not in ("timer", "cron") or not trigger.flow or not trigger.trigger or not judgement.matches:
            return judgement
        if not await self._knowledge.pends(trigger.flow, trigger.trigger):
            return judgement
        return Judgement([Verdict(trigger.flow, False, f"a run of trigger {trigger.trigger} still pends")], [])

    async def _candidates(self, trigger: TriggerRow) -> Sequence[StoredFlow]:
        if trigger.flow is not None:
            return await self._knowledge.named(trigger.flow, trigger.ver)
        return self._knowledge.flows()

    def _new_run(self, trigger: TriggerRow, match: Match, number: RunNumber) -> RunRef:
        flow, ref = match.flow, make_ref(self._config.host, number)
        definition = self._knowledge.hash_of(flow)
        facts = RunFacts(
            number=number,
            ref=ref,
            flow=flow.id,
            ver=flow.ver,
            definition=definition,
            trigger_id=trigger.id,
            trigger_type=trigger.type,
            host_tags=flow.host_tags,
            resource_tags=flow.resource_tags,
            reuse_space=flow.reuse_space,
        )
        stepped = adopt(ref, Cause(trigger.id, trigger.type, match.node.id), match.opts, self._tx.now)
        work = RunWork(facts, self._knowledge.learn(definition, flow), stepped.run, 0, adopted=True)
        work.absorb(stepped)
        self._works[ref] = work
        self._definitions[definition] = flow
        return ref

    def _settle(self, trigger: TriggerRow, verdicts: Sequence[Verdict], runs: Sequence[RunRef]) -> None:
        self._settled.append(replace(trigger, state="settled", verdicts=tuple(verdicts), runs=tuple(runs)))

    @property
    def set_timers(self) -> bool:
        """Whether a timer was set that may be due before all others."""
        return any(timer is not None for work in self._works.values() for timer in work.timers.values())

    def to_cache(self) -> Iterator[tuple[RunRef, StoredRun]]:
        """Runs worth remembering: active ones. (A pending one's host is set by a dispatcher, unseen by its rev.)"""
        for ref, work in self._works.items():
            if work.state.phase == "active":
                yield ref, StoredRun(work.facts, work.state)

    def hints(self, at: datetime) -> Iterator[m.Message]:
        """Everything to be told, in an order that lets the next stage begin first."""
        for ref, work in self._works.items():
            if work.changed:
                yield from work.hints(at)
            if ref in self._resend:
                yield from work.outstanding(at)
        for trigger in self._settled:
            runs = [str(ref) for ref in trigger.runs]
            yield m.TriggerSettled(id=f"{trigger.id}/settled", at=at, trigger_id=trigger.id, runs=runs)
