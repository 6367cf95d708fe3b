"""What the api reads of the simulated database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.runs.events import RunEvent
from shared.runs.refs import RunRef, number_of
from shared.runs.state import Activation
from shared.store.port import FlowSummary, RunDetail, RunFilter, RunRow, StoredFlow, TriggerRow
from tests.faults.sim.database import Database, Run


class Reading:
    """The reading part of `ApiStore`."""

    database: Database
    _trouble: Any

    def _in_order(self) -> list[Run]:
        return [self.database.runs[number] for number in sorted(self.database.runs)]

    async def flow(self, flow: str, ver: int | None = None) -> StoredFlow | None:
        await self._trouble.at("before")
        versions = self.database.flows.rows.get(flow, {})
        return versions.get(max(versions, default=0) if ver is None else ver)

    async def flows(self, limit: int, after: str | None = None, runs: int = 1) -> Sequence[FlowSummary]:
        await self._trouble.at("before")
        wanted = [each for each in self.database.flows.latest() if after is None or each.flow.id > after]
        return [FlowSummary(each, self._list(RunFilter(flow=each.flow.id), runs, None)) for each in wanted[:limit]]

    async def flow_versions(self, flow: str) -> Sequence[StoredFlow]:
        await self._trouble.at("before")
        return [each for _, each in sorted(self.database.flows.rows.get(flow, {}).items(), reverse=True)]

    async def runs(self, filter: RunFilter, limit: int, before: int | None = None) -> Sequence[RunRow]:
        await self._trouble.at("before")
        return self._list(filter, limit, before)

    def _list(self, wanted: RunFilter, limit: int, before: int | None) -> Sequence[RunRow]:
        found = [
            row_of(run)
            for run in reversed(self._in_order())
            if (before is None or run.number < before) and _fits(run, wanted)
        ]
        return found[:limit]

    async def run(self, ref: RunRef) -> RunDetail | None:
        await self._trouble.at("before")
        run = self.database.run_of(ref)
        return None if run is None else _detail(run)

    async def activations(self, ref: RunRef, node: str) -> Sequence[Activation]:
        await self._trouble.at("before")
        run = self.database.run_of(ref)
        return [] if run is None else [a for _, a in sorted(run.activations.items()) if a.node == node]

    async def events(self, ref: RunRef, after: int, limit: int) -> Sequence[RunEvent]:
        await self._trouble.at("before")
        run = self.database.run_of(ref)
        found = [] if run is None else sorted((e for e in run.events if e.seq > after), key=lambda e: e.seq)
        return found[:limit]

    async def output(self, ref: RunRef, n: int, offset: int, limit: int) -> bytes:
        await self._trouble.at("before")
        text, _ = self.database.logs.get((number_of(ref), n), (b"", None))
        return bytes(text[offset : offset + limit])

    async def output_length(self, ref: RunRef, n: int) -> int:
        await self._trouble.at("before")
        return len(self.database.logs.get((number_of(ref), n), (b"", None))[0])

    async def trigger(self, trigger_id: str) -> TriggerRow | None:
        await self._trouble.at("before")
        return self.database.triggers.get(trigger_id)


def row_of(run: Run) -> RunRow:
    """A run in lists."""
    facts, state = run.facts, run.state
    return RunRow(
        facts.ref, facts.number, facts.flow, facts.ver, state.phase, state.outcome, state.reason, state.host,
        facts.trigger_id, facts.trigger_type, state.created_at or datetime.min, state.started_at, state.ended_at,
    )  # fmt: skip


def _detail(run: Run) -> RunDetail:
    latest: dict[str, Activation] = {}
    counts: dict[str, int] = {}
    for n in sorted(run.activations):
        activation = run.activations[n]
        latest[activation.node] = activation
        counts[activation.node] = counts.get(activation.node, 0) + 1
    shown = sorted(latest.values(), key=lambda a: a.n)
    state = run.state
    return RunDetail(row_of(run), run.facts.definition, state.trigger_node, state.opts, state.seq, shown, counts)


def _fits(run: Run, wanted: RunFilter) -> bool:
    facts, state = run.facts, run.state
    pairs = (
        (wanted.flow, facts.flow),
        (wanted.phase, state.phase),
        (wanted.outcome, state.outcome),
        (wanted.host, state.host),
        (wanted.trigger, facts.trigger_id),
    )
    return all(want is None or want == has for want, has in pairs)
