"""What stays unanswered: what a lost hint left behind, found again from what is stored (ARCHITECTURE §1)."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, and_, exists, literal_column, or_, select, tuple_, update

from shared.runs.refs import RunRef, make_ref
from shared.store.sql import dialect
from shared.store.tables import activation, agent, run

# Literals, so that the databases see that a partial index applies.
_PENDING = run.c.phase == literal_column("'pending'")
_OPEN = run.c.phase != literal_column("'archive'")
_OUT = activation.c.process == literal_column("'out'")
_BUSY = run.c.out > literal_column("0")


def pending_of_trigger(connection: Connection, flow: str, trigger: str) -> bool:
    found = exists().where(run.c.flow == flow, run.c.trigger_node == trigger, _PENDING)
    return bool(connection.scalar(select(found)))


def unstarted(connection: Connection, limit: int) -> Sequence[tuple[RunRef, str, int]]:
    query = select(run.c.hub, run.c.number, run.c.host, run.c.epoch).where(_PENDING, _OPEN, run.c.host.is_not(None))
    found = connection.execute(query.order_by(run.c.number).limit(limit))
    return [(make_ref(hub, number), host, epoch) for hub, number, host, epoch in found]


def unannounced_pends(connection: Connection, older_than_seconds: float) -> bool:
    before = dialect.now(connection) - timedelta(seconds=older_than_seconds)
    found = exists().where(_PENDING, _OPEN, run.c.host.is_(None), run.c.created_at < before)
    return bool(connection.scalar(select(found)))


def unanswered(connection: Connection, older_than_seconds: float, limit: int) -> Sequence[RunRef]:
    now = dialect.now(connection)
    asked = or_(
        activation.c.accepted.is_(False), activation.c.stopping.is_not(None), run.c.phase == literal_column("'archive'")
    )
    key = (activation.c.run, activation.c.n)
    waiting = (
        select(*key)
        .join(run, run.c.number == activation.c.run)
        .where(_OUT, asked, activation.c.touched_at < now - timedelta(seconds=older_than_seconds))
        .order_by(activation.c.touched_at)
        .limit(limit)
        .with_for_update(of=activation, skip_locked=True)
    )
    touch = update(activation).where(tuple_(*key).in_(waiting)).values(touched_at=now)
    touched = connection.scalars(touch.returning(activation.c.run)).all()
    found = select(run.c.hub, run.c.number).where(run.c.number.in_(touched)).order_by(run.c.number)
    return [make_ref(hub, number) for hub, number in connection.execute(found)]


def runs_on_lost_hosts(connection: Connection, limit: int) -> Sequence[tuple[RunRef, str, bool]]:
    """Also runs that merely wait on an ephemeral host that signed off (FLOWS N-11)."""
    lost = and_(_BUSY, agent.c.state.in_(("lost", "deleted")))
    gone = or_(agent.c.state == "deleted", and_(agent.c.state == "left", agent.c.ephemeral))
    waits = and_(_OPEN, run.c.phase == "active", run.c.host_lost.is_(False), gone)
    columns = (run.c.hub, run.c.number, run.c.host, gone.label("gone"))
    query = select(*columns).join(agent, agent.c.host == run.c.host)
    found: dict[RunRef, tuple[RunRef, str, bool]] = {}
    for which in (lost, waits):  # one after the other: each has an index of its own
        for hub, number, host, is_gone in connection.execute(query.where(which).limit(limit)):
            ref = make_ref(hub, number)
            found[ref] = (ref, host, bool(is_gone))
    return list(found.values())[:limit]
