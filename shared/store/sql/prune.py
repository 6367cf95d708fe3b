"""Deleting what is too old, a batch at a time. Each batch may be repeated."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, delete, exists, select

from shared.store.sql import dialect
from shared.store.sql.triggers import KEPT_FOR
from shared.store.tables import (
    activation,
    claim,
    definition,
    flow,
    idempotency,
    log,
    log_chunk,
    run,
    run_event,
    run_opts,
    timer,
    trigger_event,
)

_OF_RUN = (activation.c.run, run_event.c.run, timer.c.run, claim.c.run, run_opts.c.number, run.c.number)


def old_runs(connection: Connection, keep_days: int, limit: int) -> Sequence[int]:
    """Numbers of archived runs without processes, the oldest end first."""
    before = dialect.now(connection) - timedelta(days=keep_days)
    ended = (run.c.ended_at.is_not(None), run.c.ended_at < before, run.c.phase == "archive", run.c.out == 0)
    query = select(run.c.number).where(*ended).order_by(run.c.ended_at).limit(limit)
    return connection.scalars(query).all()


def delete_logs(connection: Connection, numbers: Sequence[int]) -> int:
    """The output of runs; before the runs themselves, so that an interruption leaves no output without a run."""
    done = [connection.execute(delete(each).where(each.c.run.in_(numbers))).rowcount for each in (log_chunk, log)]
    return sum(done)


def delete_runs(connection: Connection, numbers: Sequence[int]) -> int:
    return sum(connection.execute(delete(key.table).where(key.in_(numbers))).rowcount for key in _OF_RUN)


def delete_triggers(connection: Connection, keep_days: int, limit: int) -> int:
    before = dialect.now(connection) - timedelta(days=keep_days)
    old = select(trigger_event.c.id).where(trigger_event.c.received_at < before, trigger_event.c.state != "inbox")
    oldest = old.order_by(trigger_event.c.received_at).limit(limit)
    return connection.execute(delete(trigger_event).where(trigger_event.c.id.in_(oldest))).rowcount


def delete_leftovers(connection: Connection, limit: int) -> int:
    """Definitions that neither a run nor a stored flow has, and request keys that have expired."""
    used = exists().where(run.c.definition == definition.c.hash)
    stored = exists().where(flow.c.hash == definition.c.hash)
    unused = select(definition.c.hash).where(~used, ~stored).limit(limit)
    expired = select(idempotency.c.key).where(idempotency.c.kept_at < dialect.now(connection) - KEPT_FOR).limit(limit)
    gone = connection.execute(delete(definition).where(definition.c.hash.in_(unused))).rowcount
    return gone + connection.execute(delete(idempotency).where(idempotency.c.key.in_(expired))).rowcount
