"""The first schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from shared.store.migrations import holds
from shared.store.tables import UtcTime

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if holds("runs"):
        _create_runs()
    if holds("logs"):
        _create_logs()


def downgrade() -> None:
    if holds("logs"):
        _drop_logs()
    if holds("runs"):
        _drop_runs()


def _partial(name: str, table: str, columns: Sequence[str], where: str, sqlite: str = "") -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(sqlite or where))


def _create_runs() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(sa.Sequence("run_number")))
    op.create_table(
        "activation",
        sa.Column("run", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("stopping", sa.Text),
        sa.Column("recording", sa.Boolean, nullable=False),
        sa.Column("queued_at", UtcTime),
        sa.Column("started_at", UtcTime),
        sa.Column("stopped_at", UtcTime),
        sa.Column("due_at", UtcTime),
        sa.Column("status", sa.BigInteger),
        sa.Column("result", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("log_length", sa.BigInteger),
        sa.Column("touched_at", UtcTime, nullable=False),
        sa.Column("opts", sa.Text, nullable=False),
        sa.Column("came", sa.Text, nullable=False),
        sa.Column("vals", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run", "n", name="pk_activation"),
        sqlite_with_rowid=False,
    )
    _partial("ix_activation_open", "activation", ["run", "n"], "open", "open = 1")
    _partial("ix_activation_out", "activation", ["touched_at"], "process = 'out'")
    op.create_table(
        "agent",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("installation", sa.Text, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("ephemeral", sa.Boolean, nullable=False),
        sa.Column("last_seen_at", UtcTime),
        sa.Column("disk_free_bytes", sa.BigInteger),
        sa.Column("tag_sets", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host", name="pk_agent"),
    )
    op.create_table(
        "claim",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("since", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_claim"),
    )
    op.create_index("ix_claim_run", "claim", ["run"])
    op.create_table(
        "counter",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.create_table(
        "definition",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_definition"),
    )
    op.create_table(
        "flow",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("ver", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("latest", sa.Boolean, nullable=False),
        sa.Column("armed", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("paused", sa.Text),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("stored_at", UtcTime, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", "ver", name="pk_flow"),
    )
    op.create_index("ix_flow_hash", "flow", ["hash"])
    _partial("ix_flow_latest", "flow", ["id"], "latest", "latest = 1")
    op.create_table(
        "idempotency",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("trigger_id", sa.Text, nullable=False),
        sa.Column("kept_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_kept_at", "idempotency", ["kept_at"])
    op.create_table(
        "run_event",
        sa.Column("run", NUMBER, autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("source_class", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("good", sa.Boolean, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("opts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run", "seq", name="pk_run_event"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_opts",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("opts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_run_opts"),
    )
    op.create_table(
        "schedule",
        sa.Column("flow", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("ver", sa.Integer, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("next_at", UtcTime, nullable=False),
        sa.Column("last_at", UtcTime),
        sa.PrimaryKeyConstraint("flow", "node", name="pk_schedule"),
    )
    op.create_table(
        "timer",
        sa.Column("run", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("run", "n", "kind", name="pk_timer"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_timer_due_at", "timer", ["due_at"])
    op.create_table(
        "trigger_event",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("flow", sa.Text),
        sa.Column("ver", sa.Integer),
        sa.Column("node", sa.Text),
        sa.Column("broadcast", sa.Boolean, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("opts", sa.Text, nullable=False),
        sa.Column("verdicts", sa.Text, nullable=False),
        sa.Column("runs", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trigger_event"),
    )
    _partial("ix_trigger_event_inbox", "trigger_event", ["received_at"], "state = 'inbox'")
    op.create_index("ix_trigger_event_received_at", "trigger_event", ["received_at"])
    op.create_table(
        "run",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("hub", sa.Text, nullable=False),
        sa.Column("flow", sa.Text, nullable=False),
        sa.Column("ver", sa.Integer, nullable=False),
        sa.Column("definition", sa.Text, sa.ForeignKey("definition.hash", name="fk_run_definition"), nullable=False),
        sa.Column("trigger_id", sa.Text, nullable=False),
        sa.Column("trigger_type", sa.Text, nullable=False),
        sa.Column("trigger_node", sa.Text, nullable=False),
        sa.Column("host_tags", sa.Text, nullable=False),
        sa.Column("resource_tags", sa.Text, nullable=False),
        sa.Column("reuse_space", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("host_lost", sa.Boolean, nullable=False),
        sa.Column("rev", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("next_n", sa.Integer, nullable=False),
        sa.Column("out", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("started_at", UtcTime),
        sa.Column("ended_at", UtcTime),
        sa.PrimaryKeyConstraint("number", name="pk_run"),
    )
    _partial("ix_run_busy", "run", ["host"], "out > 0")
    op.create_index("ix_run_definition", "run", ["definition"])
    _partial("ix_run_ended_at", "run", ["ended_at"], "ended_at IS NOT NULL")
    op.create_index("ix_run_flow", "run", ["flow", "number"])
    _partial("ix_run_given", "run", ["host"], "phase = 'pending' AND host IS NOT NULL")
    op.create_index("ix_run_host", "run", ["host", "number"])
    _partial("ix_run_not_good", "run", ["outcome", "number"], "outcome <> 'good'")
    _partial("ix_run_open", "run", ["phase", "number"], "phase <> 'archive'")
    _partial("ix_run_pend", "run", ["flow", "trigger_node"], "phase = 'pending'")
    op.create_index("ix_run_trigger_id", "run", ["trigger_id"])
    op.execute("INSERT INTO counter (name, value) VALUES ('flow', 0), ('run', 0)")


def _drop_runs() -> None:
    op.drop_table("run")
    op.drop_table("trigger_event")
    op.drop_table("timer")
    op.drop_table("schedule")
    op.drop_table("run_opts")
    op.drop_table("run_event")
    op.drop_table("idempotency")
    op.drop_table("flow")
    op.drop_table("definition")
    op.drop_table("counter")
    op.drop_table("claim")
    op.drop_table("agent")
    op.drop_table("activation")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.DropSequence(sa.Sequence("run_number")))


def _create_logs() -> None:
    op.create_table(
        "log",
        sa.Column("run", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("gaps", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run", "n", name="pk_log"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log_chunk",
        sa.Column("run", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run", "n", "start", name="pk_log_chunk"),
    )


def _drop_logs() -> None:
    op.drop_table("log_chunk")
    op.drop_table("log")
