"""What is due: timers of runs, and schedules of flows."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, case, delete, select

from shared.runs.refs import make_ref
from shared.store.port import Schedule, Timer
from shared.store.sql import dialect
from shared.store.tables import run, schedule, timer


def due_timers(connection: Connection, limit: int) -> tuple[datetime, Sequence[Timer]]:
    now = dialect.now(connection)
    query = select(run.c.hub, timer.c.run, timer.c.n, timer.c.kind, timer.c.due_at).join(
        run, run.c.number == timer.c.run
    )
    found = []
    for hub, number, n, kind, due_at in connection.execute(query.order_by(timer.c.due_at).limit(limit)):
        found.append(Timer(make_ref(hub, number), n, kind, due_at))
        if due_at > now:
            break
    return now, found


def sync_schedules(connection: Connection, wanted: Sequence[Schedule]) -> None:
    kept = {(row.flow, row.node) for row in connection.execute(select(schedule.c.flow, schedule.c.node))}
    for flow, node in sorted(kept - {(each.flow, each.trigger) for each in wanted}):
        connection.execute(delete(schedule).where(schedule.c.flow == flow, schedule.c.node == node))
    if not wanted:
        return
    put = dialect.insert(connection, schedule)
    same = schedule.c.spec == put.excluded.spec
    values = [_row(each) for each in sorted(wanted, key=lambda each: (each.flow, each.trigger))]
    update = put.on_conflict_do_update(
        index_elements=["flow", "node"],
        set_={
            "ver": put.excluded.ver,
            "spec": put.excluded.spec,
            "next_at": case((same, schedule.c.next_at), else_=put.excluded.next_at),
        },
        where=(schedule.c.spec != put.excluded.spec) | (schedule.c.ver != put.excluded.ver),
    )
    connection.execute(update, values)


def _row(each: Schedule) -> dict[str, object]:
    return {
        "flow": each.flow,
        "node": each.trigger,
        "ver": each.ver,
        "spec": each.spec,
        "next_at": each.next_at,
        "last_at": each.last_at,
    }


def all_schedules(connection: Connection) -> tuple[datetime, Sequence[Schedule]]:
    columns = (
        schedule.c.flow,
        schedule.c.ver,
        schedule.c.node,
        schedule.c.spec,
        schedule.c.next_at,
        schedule.c.last_at,
    )
    query = select(*columns).order_by(schedule.c.next_at, schedule.c.flow, schedule.c.node)
    return dialect.now(connection), [Schedule(*row) for row in connection.execute(query)]
