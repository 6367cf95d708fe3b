"""The tables of both databases. What differs between them is a type here or an adapter's statement, never a table.

Rows that a step rewrites are small and of fixed size: a run's opts, its flow's snapshot and its closed activations
live in rows of their own and are not touched again (ARCHITECTURE §4). Logs have a metadata of their own, since SQLite
keeps them in a file of their own. JSON is text: PostgreSQL's jsonb refuses NUL, and nothing here looks inside it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from shared.store.codec import from_micros, to_micros

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
}


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz, in SQLite whole microseconds since 1970 (which sort and compare exactly)."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return to_micros(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return from_micros(value) if dialect.name == "sqlite" else value


Number = BigInteger().with_variant(Integer(), "sqlite")
"""A run's number; in SQLite the name that makes it the row id."""

metadata = MetaData(naming_convention=NAMES)
log_metadata = MetaData(naming_convention=NAMES)

run_number = Sequence("run_number", metadata=metadata)
"""PostgreSQL's source of numbers; SQLite counts in `counter`."""


def _partial(name: str, *columns: str | Any, where: str, sqlite: str = "") -> Index:
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(sqlite or where))


flow = Table(
    "flow",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ver", Integer, primary_key=True, autoincrement=False),
    Column("latest", Boolean, nullable=False),
    Column("armed", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    Column("paused", Text),
    Column("hash", Text, nullable=False),
    Column("stored_at", UtcTime, nullable=False),
    Column("problems", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_flow_hash", "hash"),
    _partial("ix_flow_latest", "id", where="latest", sqlite="latest = 1"),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Number, nullable=False),
)
"""`flow` grows with every change to flows; `run` is SQLite's last run number."""

definition = Table(
    "definition",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

trigger_event = Table(
    "trigger_event",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("flow", Text),
    Column("ver", Integer),
    Column("node", Text),
    Column("broadcast", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("opts", Text, nullable=False),
    Column("verdicts", Text, nullable=False),
    Column("runs", Text, nullable=False),
    Index("ix_trigger_event_received_at", "received_at"),
    _partial("ix_trigger_event_inbox", "received_at", where="state = 'inbox'"),
)

run = Table(
    "run",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("hub", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("ver", Integer, nullable=False),
    Column("definition", Text, ForeignKey("definition.hash"), nullable=False),
    Column("trigger_id", Text, nullable=False),
    Column("trigger_type", Text, nullable=False),
    Column("trigger_node", Text, nullable=False),
    Column("host_tags", Text, nullable=False),
    Column("resource_tags", Text, nullable=False),
    Column("reuse_space", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("phase", Text, nullable=False),
    Column("outcome", Text),
    Column("reason", Text, nullable=False),
    Column("host", Text),
    Column("epoch", Integer, nullable=False),
    Column("host_lost", Boolean, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("next_n", Integer, nullable=False),
    Column("out", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Index("ix_run_flow", "flow", "number"),
    Index("ix_run_host", "host", "number"),
    Index("ix_run_trigger_id", "trigger_id"),
    Index("ix_run_definition", "definition"),
    _partial("ix_run_open", "phase", "number", where="phase <> 'archive'"),
    _partial("ix_run_not_good", "outcome", "number", where="outcome <> 'good'"),
    _partial("ix_run_busy", "host", where="out > 0"),
    _partial("ix_run_given", "host", where="phase = 'pending' AND host IS NOT NULL"),
    _partial("ix_run_pend", "flow", "trigger_node", where="phase = 'pending'"),
    _partial("ix_run_ended_at", "ended_at", where="ended_at IS NOT NULL"),
)

run_opts = Table(
    "run_opts",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("opts", Text, nullable=False),
)

activation = Table(
    "activation",
    metadata,
    Column("run", Number, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("node", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("process", Text, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("stopping", Text),
    Column("recording", Boolean, nullable=False),
    Column("queued_at", UtcTime),
    Column("started_at", UtcTime),
    Column("stopped_at", UtcTime),
    Column("due_at", UtcTime),
    Column("status", BigInteger),
    Column("result", Text),
    Column("reason", Text, nullable=False),
    Column("log_length", BigInteger),
    Column("touched_at", UtcTime, nullable=False),
    Column("opts", Text, nullable=False),
    Column("came", Text, nullable=False),
    Column("vals", Text, nullable=False),
    _partial("ix_activation_open", "run", "n", where="open", sqlite="open = 1"),
    _partial("ix_activation_out", "touched_at", where="process = 'out'"),
    sqlite_with_rowid=False,
)

run_event = Table(
    "run_event",
    metadata,
    Column("run", Number, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("tag", Text, nullable=False),
    Column("source_class", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("good", Boolean, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("opts", Text, nullable=False),
    sqlite_with_rowid=False,
)

timer = Table(
    "timer",
    metadata,
    Column("run", Number, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("due_at", UtcTime, nullable=False),
    Index("ix_timer_due_at", "due_at"),
    sqlite_with_rowid=False,
)

schedule = Table(
    "schedule",
    metadata,
    Column("flow", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("ver", Integer, nullable=False),
    Column("spec", Text, nullable=False),
    Column("next_at", UtcTime, nullable=False),
    Column("last_at", UtcTime),
)

agent = Table(
    "agent",
    metadata,
    Column("host", Text, primary_key=True),
    Column("tags", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("running", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("installation", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("ephemeral", Boolean, nullable=False),
    Column("last_seen_at", UtcTime),
    Column("disk_free_bytes", BigInteger),
    Column("tag_sets", Text, nullable=False),
)
"""`tag_sets`: the distinct sets of tags that the host ever had, the latest last, at most `TAG_SETS_KEPT`."""

claim = Table(
    "claim",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run", Number, nullable=False),
    Column("host", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
    Index("ix_claim_run", "run"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("trigger_id", Text, nullable=False),
    Column("kept_at", UtcTime, nullable=False),
    Index("ix_idempotency_kept_at", "kept_at"),
)

log = Table(
    "log",
    log_metadata,
    Column("run", Number, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("length", BigInteger, nullable=False),
    Column("gaps", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""`length`: stored without a gap. `gaps`: chunks lie beyond it and wait for what is missing."""

log_chunk = Table(
    "log_chunk",
    log_metadata,
    Column("run", Number, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
