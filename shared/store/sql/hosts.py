"""Hosts: their states, and pends that were given to one which is gone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, literal_column, or_, select, union_all, update

from shared.errors import NotFound
from shared.placement import AgentRow, AgentState
from shared.runs.refs import RunRef, make_ref, number_of
from shared.store import placement_rows
from shared.store.rows import AS_IS
from shared.store.sql import dialect
from shared.store.tables import agent, claim, run

_PENDING = run.c.phase == literal_column("'pending'")
_OPEN = run.c.phase != literal_column("'archive'")
_AGENT = tuple(agent.c[name] for name in placement_rows.AGENT)


def ping(connection: Connection) -> None:
    connection.execute(select(1))


def all_agents(connection: Connection) -> tuple[datetime, Sequence[AgentRow]]:
    used = _used(connection)
    found = connection.execute(select(*_AGENT).order_by(agent.c.host))
    return dialect.now(connection), [placement_rows.agent_of(row, used, AS_IS) for row in found]


def _used(connection: Connection) -> Mapping[str, int]:
    """Slots in use (FLOWS D-07): runs with processes out, and those assigned and not yet started."""
    out = run.c.out > literal_column("0")
    given = run.c.host.is_not(None)
    busy = select(run.c.host).where(out, given)
    waiting = select(run.c.host).where(_PENDING, _OPEN, given, run.c.out == 0)
    both = union_all(busy, waiting).subquery()
    rows = connection.execute(select(both.c.host, func.count().label("many")).group_by(both.c.host))
    return {row.host: row.many for row in rows}


def set_agent_state(connection: Connection, host: str, state: AgentState, unless_seen_after: datetime) -> bool:
    unseen = or_(agent.c.last_seen_at.is_(None), agent.c.last_seen_at <= unless_seen_after)
    return connection.execute(update(agent).where(agent.c.host == host, unseen).values(state=state)).rowcount == 1


def set_draining(connection: Connection, host: str, draining: bool) -> None:
    _change(connection, host, draining=draining)


def delete_agent(connection: Connection, host: str) -> None:
    _change(connection, host, state="deleted")


def _change(connection: Connection, host: str, **values: object) -> None:
    if connection.execute(update(agent).where(agent.c.host == host).values(values)).rowcount == 0:
        raise NotFound(f"host {host} is not known")


def ended(connection: Connection, refs: Collection[RunRef]) -> frozenset[RunRef]:
    numbers = [number_of(ref) for ref in refs]
    live = select(run.c.hub, run.c.number).where(run.c.number.in_(numbers), _OPEN)
    return frozenset(refs) - {make_ref(row.hub, row.number) for row in connection.execute(live)}


def unassign_lost(connection: Connection) -> Sequence[RunRef]:
    gone = select(agent.c.host).where(agent.c.state.in_(("lost", "left", "deleted")))
    which = and_(_PENDING, _OPEN, run.c.host.in_(gone))
    freed = connection.execute(update(run).where(which).values(host=None).returning(run.c.number, run.c.hub)).all()
    if freed:
        connection.execute(delete(claim).where(claim.c.run.in_([row.number for row in freed])))
    return [make_ref(row.hub, row.number) for row in sorted(freed)]
