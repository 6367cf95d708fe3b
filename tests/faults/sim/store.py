"""The simulated store: all three ports on a `Database` in memory, without threads. Passes the suite of every adapter.

Each call asks `trouble` before it does anything, before it commits, and after: there a simulation lets time pass, or
has it fail.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.errors import NotFound
from shared.flows.model import Flow, definition_hash, version_to_store
from shared.runs.refs import RunRef, number_of
from shared.store.log_pieces import fit
from shared.store.port import (
    HubTransaction,
    LogChunk,
    PlacementTransaction,
    Schedule,
    StoredFlow,
    Timer,
    TriggerRow,
)
from tests.faults.sim.database import Database, HubRows, Run
from tests.faults.sim.placing import Placing
from tests.faults.sim.reading import Reading

KEPT_FOR = timedelta(hours=24)


class Trouble:
    """What may go wrong with a call: here nothing ever does."""

    async def at(self, point: str) -> None:
        """`point` is `before`, `lock`, `read`, `save`, `write`, `commit` or `after`. Raises StoreUnavailable."""


class MemoryStore(Reading, Placing):
    """`Store`. Any number of them on one database are as many processes' stores."""

    def __init__(self, database: Database | None = None, trouble: Trouble | None = None) -> None:
        self.database = database or Database()
        self._trouble = trouble or Trouble()

    async def start(self, *, migrate: bool) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ping(self) -> None:
        await self._read(lambda: None)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[HubTransaction]:
        await self._trouble.at("before")
        rows = HubRows(self.database, self._trouble.at)
        try:
            yield rows
            await self._trouble.at("commit")
            rows.commit()
        finally:
            rows.release()
        await self._trouble.at("after")

    @asynccontextmanager
    async def placement(self) -> AsyncIterator[PlacementTransaction]:
        await self._trouble.at("before")
        rows = await self._placing()
        try:
            yield rows
            await self._trouble.at("commit")
            rows.commit()
        finally:
            rows.release()
        await self._trouble.at("after")

    async def _read(self, query: Callable[..., Any], *args: Any) -> Any:
        await self._trouble.at("before")
        return query(*args)

    async def _write(self, query: Callable[..., Any], *args: Any) -> Any:
        await self._trouble.at("before")
        found = query(*args)
        await self._trouble.at("after")
        return found

    # --- what the hub keeps -----------------------------------------------------------------------------------------

    async def definition(self, definition: str) -> Flow:
        found: Flow | None = await self._read(self._definition, definition)
        if found is None:
            raise NotFound(f"definition {definition} is not known")
        return found

    def _definition(self, key: str) -> Flow | None:
        return self.database.definitions.get(key)

    async def latest_flows(self, known: int = -1) -> tuple[int, Sequence[StoredFlow]]:
        await self._trouble.at("before")
        generation = self.database.flows.generation
        armed = [stored for stored in self.database.flows.latest() if stored.armed]
        return generation, [] if generation == known else armed

    async def flow_version(self, flow: str, ver: int) -> StoredFlow | None:
        await self._trouble.at("before")
        return self.database.flows.rows.get(flow, {}).get(ver)

    async def due_timers(self, limit: int) -> tuple[datetime, Sequence[Timer]]:
        await self._trouble.at("before")
        now, found = self.database.now(), []
        for timer in sorted(self.database.timers.values(), key=lambda each: each.due_at)[:limit]:
            found.append(timer)
            if timer.due_at > now:
                break
        return now, found

    async def sync_schedules(self, wanted: Sequence[Schedule]) -> None:
        await self._write(self._sync_schedules, wanted)

    def _sync_schedules(self, wanted: Sequence[Schedule]) -> None:
        old, new = self.database.schedules, {}
        for each in wanted:
            key = (each.flow, each.trigger)
            kept = old.get(key)
            same = kept is not None and kept.spec == each.spec
            new[key] = replace(kept, ver=each.ver) if same and kept is not None else each
        self.database.schedules = new

    async def schedules(self) -> tuple[datetime, Sequence[Schedule]]:
        await self._trouble.at("before")
        found = sorted(self.database.schedules.values(), key=lambda each: (each.next_at, each.flow, each.trigger))
        return self.database.now(), found

    async def pending_of_trigger(self, flow: str, trigger: str) -> bool:
        await self._trouble.at("read")
        return any(
            run.facts.flow == flow and run.state.trigger_node == trigger and run.state.phase == "pending"
            for run in self.database.runs.values()
        )

    async def unstarted(self, limit: int) -> Sequence[tuple[RunRef, str, int]]:
        await self._trouble.at("before")
        waiting = [run for run in self._in_order() if run.state.phase == "pending" and run.state.host is not None]
        return [(run.facts.ref, run.state.host or "", run.state.epoch) for run in waiting[:limit]]

    async def unanswered(self, older_than_seconds: float, limit: int) -> Sequence[RunRef]:
        found: Sequence[RunRef] = await self._write(self._unanswered, older_than_seconds, limit)
        return found

    def _unanswered(self, older_than_seconds: float, limit: int) -> Sequence[RunRef]:
        now = self.database.now()
        before = now - timedelta(seconds=older_than_seconds)
        waiting = [
            (run.touched[n], run, n)
            for run in self._in_order()
            for n, a in run.open.items()
            if a.process == "out"
            and (not a.accepted or a.stopping is not None or run.state.phase == "archive")
            and run.touched[n] < before
            and run.number not in self.database.locks
        ]
        waiting.sort(key=lambda each: each[0])
        for _, run, n in waiting[:limit]:
            run.touched[n] = now
        return sorted({run.facts.ref for _, run, _ in waiting[:limit]}, key=number_of)

    async def runs_on_lost_hosts(self, limit: int) -> Sequence[tuple[RunRef, str, bool]]:
        await self._trouble.at("before")
        found = []
        for run in self._in_order():
            host = self.database.agents.get(run.state.host or "")
            if host is None:
                continue
            state, row = run.state, host.row
            gone = row.state == "deleted" or (row.state == "left" and row.ephemeral)
            lost = state.out > 0 and row.state in ("lost", "deleted")
            waits = state.phase == "active" and not state.host_lost and gone
            if lost or waits:
                found.append((run.facts.ref, row.host, gone))
        return found[:limit]

    async def inbox(self, limit: int) -> Sequence[TriggerRow]:
        await self._trouble.at("before")
        waiting = [row for row in self.database.triggers.values() if row.state == "inbox"]
        return sorted(waiting, key=lambda row: row.received_at or self.database.now())[:limit]

    async def unannounced_pends(self, older_than_seconds: float) -> bool:
        await self._trouble.at("before")
        before = self.database.now() - timedelta(seconds=older_than_seconds)
        return any(
            run.state.phase == "pending" and run.state.host is None and (run.state.created_at or before) < before
            for run in self.database.runs.values()
        )

    async def append_output(self, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
        found: Mapping[tuple[RunRef, int], int] = await self._write(self._append, chunks)
        return found

    def _append(self, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
        pieces: dict[tuple[RunRef, int], list[tuple[int, bytes]]] = {}
        for chunk in chunks:
            pieces.setdefault((chunk.run, chunk.n), []).append((chunk.offset, chunk.data))
        return {key: self._append_to(key, found) for key, found in pieces.items()}

    def _append_to(self, key: tuple[RunRef, int], pieces: list[tuple[int, bytes]]) -> int:
        text, beyond = self.database.logs.setdefault((number_of(key[0]), key[1]), (bytearray(), {}))
        fitted = fit(len(text), [*pieces, *beyond.items()])
        text += b"".join(data for _, data in fitted.pieces)
        beyond.clear()
        beyond.update(fitted.beyond)
        return len(text)

    async def prune(self, keep_runs_days: int, keep_triggers_days: int, limit: int) -> int:
        gone: int = await self._write(self._prune, keep_runs_days, keep_triggers_days, limit)
        return gone

    def _prune(self, keep_runs_days: int, keep_triggers_days: int, limit: int) -> int:
        database, gone = self.database, 0
        if keep_runs_days > 0:
            before = database.now() - timedelta(days=keep_runs_days)
            old = [run for run in self._in_order() if _is_over(run, before)]
            for run in sorted(old, key=lambda run: run.state.ended_at or before)[:limit]:
                gone += self._delete(run)
        if keep_triggers_days > 0:
            before = database.now() - timedelta(days=keep_triggers_days)
            past = [
                r.id for r in database.triggers.values() if r.state != "inbox" and (r.received_at or before) < before
            ]
            for key in past[:limit]:
                del database.triggers[key]
            gone += len(past[:limit])
        return gone + self._delete_leftovers()

    def _delete(self, run: Run) -> int:
        del self.database.runs[run.number]
        logs = [key for key in self.database.logs if key[0] == run.number]
        for key in logs:
            del self.database.logs[key]
        return 2 + len(run.activations) + len(run.events) + 2 * len(logs)

    def _delete_leftovers(self) -> int:
        database = self.database
        used = {run.facts.definition for run in database.runs.values()}
        used |= {definition_hash(each.flow) for rows in database.flows.rows.values() for each in rows.values()}
        unused = [key for key in database.definitions if key not in used]
        for key in unused:
            del database.definitions[key]
        return len(unused)

    # --- what the api writes ----------------------------------------------------------------------------------------

    async def put_flow(
        self, flow: Flow, *, source: str, problems: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[StoredFlow, bool]:
        found: tuple[StoredFlow, bool] = await self._write(self._put_flow, flow, source, problems)
        return found

    def _put_flow(self, flow: Flow, source: str, problems: Sequence[Mapping[str, Any]]) -> tuple[StoredFlow, bool]:
        versions = self.database.flows.rows.setdefault(flow.id, {})
        ver, new = version_to_store(flow, {n: definition_hash(each.flow) for n, each in versions.items()})
        paused = next((each.paused for each in versions.values()), None)
        if new:
            versions[ver] = StoredFlow(replace(flow, ver=ver), self.database.now())
        for each, stored in versions.items():
            versions[each] = replace(stored, source=source, armed=True, paused=paused)
        versions[ver] = replace(versions[ver], problems=list(problems))
        self.database.flows.generation += 1
        return versions[ver], new

    async def disarm_flows(self, source: str, keep: Collection[str]) -> Sequence[str]:
        found: Sequence[str] = await self._write(self._disarm, source, keep)
        return found

    def _disarm(self, source: str, keep: Collection[str]) -> Sequence[str]:
        flows = self.database.flows
        flows.generation += 1
        mine = [each.flow.id for each in flows.latest() if each.source == source and each.armed]
        gone = [each for each in mine if each not in keep]
        for flow in gone:
            flows.rows[flow] = {n: replace(each, armed=False) for n, each in flows.rows[flow].items()}
        return gone

    async def pause_flow(self, flow: str, why: str | None) -> None:
        await self._trouble.at("before")
        flows = self.database.flows
        if flow not in flows.rows:
            raise NotFound(f"flow {flow} is not known")
        flows.generation += 1
        flows.rows[flow] = {n: replace(each, paused=why) for n, each in flows.rows[flow].items()}
        await self._trouble.at("after")

    async def put_inbox(self, trigger: TriggerRow) -> None:
        await self._write(self._put_inbox, trigger)

    def _put_inbox(self, trigger: TriggerRow) -> None:
        row = replace(trigger, state="inbox", received_at=trigger.received_at or self.database.now())
        self.database.triggers.setdefault(trigger.id, row)

    async def remember(self, key: str, fingerprint: str, trigger_id: str) -> tuple[str, str]:
        found: tuple[str, str] = await self._write(self._remember, key, fingerprint, trigger_id)
        return found

    def _remember(self, key: str, fingerprint: str, trigger_id: str) -> tuple[str, str]:
        now, kept = self.database.now(), self.database.keys.get(key)
        if kept is None or kept[2] <= now - KEPT_FOR:
            kept = self.database.keys[key] = (fingerprint, trigger_id, now)
        return kept[0], kept[1]


def _is_over(run: Run, before: datetime) -> bool:
    state = run.state
    return state.phase == "archive" and state.out == 0 and state.ended_at is not None and state.ended_at < before
