"""Inbound triggers: the inbox, verdicts, and what makes a repeated request the same one."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, select

from shared.store import rows
from shared.store.port import TriggerRow
from shared.store.rows import AS_IS
from shared.store.sql import dialect
from shared.store.tables import idempotency, trigger_event

KEPT_FOR = timedelta(hours=24)
_COLUMNS = tuple(trigger_event.c[name] for name in rows.TRIGGER)


def inbox(connection: Connection, limit: int) -> Sequence[TriggerRow]:
    waiting = select(*_COLUMNS).where(trigger_event.c.state == "inbox").order_by(trigger_event.c.received_at)
    return [rows.trigger_of(row, AS_IS) for row in connection.execute(waiting.limit(limit))]


def one_trigger(connection: Connection, trigger_id: str) -> TriggerRow | None:
    row = connection.execute(select(*_COLUMNS).where(trigger_event.c.id == trigger_id)).one_or_none()
    return None if row is None else rows.trigger_of(row, AS_IS)


def put_inbox(connection: Connection, trigger: TriggerRow) -> None:
    values = rows.trigger_row(trigger, dialect.now(connection), AS_IS)
    row = {**dict(zip(rows.TRIGGER, values, strict=True)), "state": "inbox"}
    connection.execute(dialect.insert(connection, trigger_event).values(row).on_conflict_do_nothing())


def remember(connection: Connection, key: str, fingerprint: str, trigger_id: str) -> tuple[str, str]:
    now = dialect.now(connection)
    mine = {"key": key, "fingerprint": fingerprint, "trigger_id": trigger_id, "kept_at": now}
    kept = dialect.insert(connection, idempotency).values(mine)
    expired = idempotency.c.kept_at <= now - KEPT_FOR
    connection.execute(kept.on_conflict_do_update(index_elements=["key"], set_=mine, where=expired))
    row = connection.execute(
        select(idempotency.c.fingerprint, idempotency.c.trigger_id).where(idempotency.c.key == key)
    ).one()
    return row.fingerprint, row.trigger_id
