"""What both stores do the same way: the ordinary reads and writes, as Core queries in a transaction of their own.

An adapter says how such a transaction is had (`_read`, `_write`, `_read_logs`); the hot path is its own business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from shared.flows.model import Flow
from shared.placement import AgentRow, AgentState
from shared.runs.events import RunEvent
from shared.runs.refs import RunRef, number_of
from shared.runs.state import Activation
from shared.store.port import (
    FlowSummary,
    RunDetail,
    RunFilter,
    RunRow,
    Schedule,
    StoredFlow,
    Timer,
    TriggerRow,
)
from shared.store.sql import clock, hosts, logs, prune, sweep, triggers
from shared.store.sql import flows as flow_queries
from shared.store.sql import runs as run_queries

P = ParamSpec("P")
T = TypeVar("T")
Query = Callable[Concatenate[Connection, P], T]


class CoreStore(ABC):
    """The ordinary part of `Store`; the promises are the port's."""

    @abstractmethod
    async def _read(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it in a transaction that only reads, and sees one moment."""

    @abstractmethod
    async def _write(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it in a transaction that is committed; again from the start when another was in its way."""

    @abstractmethod
    async def _read_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `_read`, where the output is."""

    @abstractmethod
    async def _prune(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `_write`, for what is long and can wait."""

    @abstractmethod
    async def _prune_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `_prune`, where the output is."""

    async def definition(self, definition: str) -> Flow:
        return await self._read(flow_queries.one_definition, definition)

    async def latest_flows(self, known: int = -1) -> tuple[int, Sequence[StoredFlow]]:
        return await self._read(flow_queries.latest_flows, known)

    async def flow_version(self, flow: str, ver: int) -> StoredFlow | None:
        return await self._read(flow_queries.one_flow, flow, ver)

    async def due_timers(self, limit: int) -> tuple[datetime, Sequence[Timer]]:
        return await self._read(clock.due_timers, limit)

    async def sync_schedules(self, wanted: Sequence[Schedule]) -> None:
        await self._write(clock.sync_schedules, wanted)

    async def schedules(self) -> tuple[datetime, Sequence[Schedule]]:
        return await self._read(clock.all_schedules)

    async def pending_of_trigger(self, flow: str, trigger: str) -> bool:
        return await self._read(sweep.pending_of_trigger, flow, trigger)

    async def unstarted(self, limit: int) -> Sequence[tuple[RunRef, str, int]]:
        return await self._read(sweep.unstarted, limit)

    async def unanswered(self, older_than_seconds: float, limit: int) -> Sequence[RunRef]:
        return await self._write(sweep.unanswered, older_than_seconds, limit)

    async def runs_on_lost_hosts(self, limit: int) -> Sequence[tuple[RunRef, str, bool]]:
        return await self._read(sweep.runs_on_lost_hosts, limit)

    async def inbox(self, limit: int) -> Sequence[TriggerRow]:
        return await self._read(triggers.inbox, limit)

    async def unannounced_pends(self, older_than_seconds: float) -> bool:
        return await self._read(sweep.unannounced_pends, older_than_seconds)

    async def prune(self, keep_runs_days: int, keep_triggers_days: int, limit: int) -> int:
        gone = 0
        if keep_runs_days > 0 and (numbers := await self._read(prune.old_runs, keep_runs_days, limit)):
            gone += await self._prune_logs(prune.delete_logs, numbers)
            gone += await self._prune(prune.delete_runs, numbers)
        if keep_triggers_days > 0:
            gone += await self._prune(prune.delete_triggers, keep_triggers_days, limit)
        return gone + await self._prune(prune.delete_leftovers, limit)

    async def agents(self) -> tuple[datetime, Sequence[AgentRow]]:
        return await self._read(hosts.all_agents)

    async def set_agent_state(self, host: str, state: AgentState, unless_seen_after: datetime) -> bool:
        return await self._write(hosts.set_agent_state, host, state, unless_seen_after)

    async def ended(self, refs: Collection[RunRef]) -> frozenset[RunRef]:
        return await self._read(hosts.ended, refs)

    async def unassign_lost(self) -> Sequence[RunRef]:
        return await self._write(hosts.unassign_lost)

    async def put_flow(
        self, flow: Flow, *, source: str, problems: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[StoredFlow, bool]:
        return await self._write(flow_queries.put_flow, flow, source, problems)

    async def disarm_flows(self, source: str, keep: Collection[str]) -> Sequence[str]:
        return await self._write(flow_queries.disarm_flows, source, keep)

    async def flow(self, flow: str, ver: int | None = None) -> StoredFlow | None:
        return await self._read(flow_queries.one_flow, flow, ver)

    async def flows(self, limit: int, after: str | None = None, runs: int = 1) -> Sequence[FlowSummary]:
        return await self._read(run_queries.list_flows, limit, after, runs)

    async def flow_versions(self, flow: str) -> Sequence[StoredFlow]:
        return await self._read(flow_queries.flow_versions, flow)

    async def runs(self, filter: RunFilter, limit: int, before: int | None = None) -> Sequence[RunRow]:
        return await self._read(run_queries.list_runs, filter, limit, before)

    async def run(self, ref: RunRef) -> RunDetail | None:
        return await self._read(run_queries.one_run, ref)

    async def activations(self, ref: RunRef, node: str) -> Sequence[Activation]:
        return await self._read(run_queries.list_activations, ref, node)

    async def events(self, ref: RunRef, after: int, limit: int) -> Sequence[RunEvent]:
        return await self._read(run_queries.list_events, ref, after, limit)

    async def output(self, ref: RunRef, n: int, offset: int, limit: int) -> bytes:
        return await self._read_logs(logs.output, number_of(ref), n, offset, limit)

    async def output_length(self, ref: RunRef, n: int) -> int:
        return await self._read_logs(logs.output_length, number_of(ref), n)

    async def trigger(self, trigger_id: str) -> TriggerRow | None:
        return await self._read(triggers.one_trigger, trigger_id)

    async def put_inbox(self, trigger: TriggerRow) -> None:
        await self._write(triggers.put_inbox, trigger)

    async def remember(self, key: str, fingerprint: str, trigger_id: str) -> tuple[str, str]:
        return await self._write(triggers.remember, key, fingerprint, trigger_id)

    async def set_draining(self, host: str, draining: bool) -> None:
        await self._write(hosts.set_draining, host, draining)

    async def delete_agent(self, host: str) -> None:
        await self._write(hosts.delete_agent, host)

    async def pause_flow(self, flow: str, why: str | None) -> None:
        await self._write(flow_queries.pause_flow, flow, why)

    async def ping(self) -> None:
        await self._read(hosts.ping)
