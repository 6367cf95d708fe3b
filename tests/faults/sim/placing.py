"""Hosts, pends and claims in the simulated database."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.errors import NotFound
from shared.placement import AgentRow, AgentState, Assignment, ClaimRow, PendRow, PlacementView
from shared.runs.refs import RunRef
from shared.store.placement_rows import BEATING, TAG_SETS_KEPT, refusal
from tests.faults.sim.database import Database, Host, Pause, Run, Transaction

GONE = ("lost", "left", "deleted")


class PlacingRows(Transaction):
    """`PlacementTransaction`: while one is open nobody else places."""

    def __init__(self, database: Database, pause: Pause) -> None:
        super().__init__(database)
        self._pause = pause
        self._taken: set[str] = set()

    async def view(self, limit: int) -> PlacementView:
        await self._pause("read")
        return view_of(self.database, limit)

    async def assign(self, assignments: Sequence[Assignment]) -> Mapping[RunRef, int]:
        await self._pause("write")
        return {each.ref: epoch for each in assignments if (epoch := self._assign(each))}

    def _assign(self, each: Assignment) -> int:
        run = self.database.run_of(each.ref)
        if run is None or run.state.phase != "pending" or run.state.host is not None or not self.lock(run.number):
            return 0
        if any(key in self.database.claims or key in self._taken for key in each.claims):
            return 0
        self._taken.update(each.claims)
        self.later(lambda: self._put(run, each))
        return run.state.epoch + 1

    def _put(self, run: Run, each: Assignment) -> None:
        run.state = replace(run.state, host=each.host, epoch=run.state.epoch + 1)
        for key in each.claims:
            self.database.claims[key] = ClaimRow(key, each.ref, each.host, self.now)


class Placing:
    """`DispatcherStore`, and what the api does to hosts."""

    database: Database
    _trouble: Any

    async def _placing(self) -> PlacingRows:
        while any(isinstance(each, PlacingRows) for each in self.database.open):
            await self.database.released()
        return PlacingRows(self.database, self._trouble.at)

    async def placement_view(self, limit: int) -> PlacementView:
        await self._trouble.at("before")
        return view_of(self.database, limit)

    async def beat(self, agents: Sequence[AgentRow]) -> Mapping[str, str]:
        await self._trouble.at("before")
        refused = {each.host: refusal(each) for each in agents if not self._beat(each)}
        await self._trouble.at("after")
        return refused

    def _beat(self, agent: AgentRow) -> bool:
        hosts, now = self.database.agents, self.database.now()
        old = hosts.get(agent.host)
        if old is not None and old.row.installation != agent.installation and self._in_use(old.row):
            return False
        host = hosts.setdefault(agent.host, Host(agent))
        state: AgentState = agent.state if agent.state in ("left", "away") else "up"
        host.row = replace(agent, state=state, draining=host.row.draining, last_seen_at=now, used=0)
        mine = frozenset(agent.tags)
        host.tag_sets = [*(each for each in host.tag_sets if each != mine), mine][-TAG_SETS_KEPT:]
        return True

    def _in_use(self, row: AgentRow) -> bool:
        runs = self.database.runs.values()
        return row.state in BEATING or any(run.state.host == row.host and run.state.out > 0 for run in runs)

    async def agents(self) -> tuple[datetime, Sequence[AgentRow]]:
        await self._trouble.at("before")
        return self.database.now(), agents_of(self.database)

    async def set_agent_state(self, host: str, state: AgentState, unless_seen_after: datetime) -> bool:
        await self._trouble.at("before")
        row = self.database.agents[host].row
        unseen = row.last_seen_at is None or row.last_seen_at <= unless_seen_after
        if unseen:
            self.database.agents[host].row = replace(row, state=state)
        await self._trouble.at("after")
        return unseen

    async def ended(self, refs: Collection[RunRef]) -> frozenset[RunRef]:
        await self._trouble.at("before")
        runs = {ref: self.database.run_of(ref) for ref in refs}
        return frozenset(ref for ref, run in runs.items() if run is None or run.state.phase == "archive")

    async def unassign_lost(self) -> Sequence[RunRef]:
        await self._trouble.at("before")
        found = [run for _, run in sorted(self.database.runs.items()) if self._is_stranded(run)]
        for run in found:
            run.state = replace(run.state, host=None)
            for key in [key for key, claim in self.database.claims.items() if claim.run == run.facts.ref]:
                del self.database.claims[key]
        await self._trouble.at("after")
        return [run.facts.ref for run in found]

    def _is_stranded(self, run: Run) -> bool:
        host = self.database.agents.get(run.state.host or "")
        waits = run.state.phase == "pending" and run.number not in self.database.locks
        return waits and host is not None and host.row.state in GONE

    async def set_draining(self, host: str, draining: bool) -> None:
        await self._change(host, draining=draining)

    async def delete_agent(self, host: str) -> None:
        await self._change(host, state="deleted")

    async def _change(self, host: str, **values: Any) -> None:
        await self._trouble.at("before")
        found = self.database.agents.get(host)
        if found is None:
            raise NotFound(f"host {host} is not known")
        found.row = replace(found.row, **values)
        await self._trouble.at("after")


def agents_of(database: Database) -> list[AgentRow]:
    """Every host with the slots that it has in use (FLOWS D-07)."""
    used: Counter[str] = Counter()
    for run in database.runs.values():
        state = run.state
        if state.host is not None and (state.out > 0 or state.phase == "pending"):
            used[state.host] += 1
    return [replace(host.row, used=used[name]) for name, host in sorted(database.agents.items())]


def view_of(database: Database, limit: int) -> PlacementView:
    """What a placement decides on."""
    flows = database.flows.rows
    pends = []
    for number in sorted(database.runs):
        run = database.runs[number]
        if run.state.phase == "pending" and run.state.host is None:
            paused = next((each.paused for each in flows.get(run.facts.flow, {}).values()), None)
            pends.append(_pend(run, database.now(), paused))
    sets = {each for host in database.agents.values() for each in host.tag_sets}
    return PlacementView(
        now=database.now(),
        pends=tuple(pends[:limit]),
        agents=tuple(row for row in agents_of(database) if row.state != "deleted"),
        claims=tuple(sorted(database.claims.values(), key=lambda claim: (claim.since, claim.key))),
        ever_tags=tuple(sorted(sets, key=sorted)),
    )


def _pend(run: Run, now: datetime, paused: str | None) -> PendRow:
    facts = run.facts
    since = run.state.created_at or now
    return PendRow(
        facts.ref, facts.number, facts.flow, since, facts.host_tags, facts.resource_tags, facts.reuse_space, paused
    )
