"""What runs often never reads through the archive (W5): by index, whatever its size."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import event

from shared.placement import Assignment
from shared.runs.refs import RunRef
from shared.store.port import RunFilter, Schedule, Store, Timer
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.servers.postgres import plain_url
from tests.store.make import AT, a_flow, a_trigger, adopt, an_activation, an_agent, end, lock, step, stepped

pytestmark = pytest.mark.anyio

FILTERS = [
    RunFilter(),
    RunFilter(flow="build"),
    RunFilter(phase="pending"),
    RunFilter(phase="archive"),
    RunFilter(outcome="bad"),
    RunFilter(host="a1"),
    RunFilter(trigger="t1"),
    RunFilter(flow="build", phase="active"),
]
GROWING = ("run", "activation", "run_event", "run_opts", "trigger_event", "timer", "claim", "log", "log_chunk")
ARCHIVE = 20_000
FILL = {
    "run": "SELECT i, 'h1', 'flow' || (i % 50), 1, (SELECT hash FROM definition), 'x' || i, 'data', 'go', '[]', '[]',"
    " {false}, {at}, 'archive', CASE i % 100 WHEN 0 THEN 'bad' ELSE 'good' END, '', 'a1', 1, {false}, 5, 5, 2, 0, 0,"
    " {at}, {at} FROM n",
    "run_event": "SELECT i, 1, 'tag', 'sys', 'x', {true}, {at}, '{{}}' FROM n",
    "activation": "SELECT i, 1, 'a', 'exec', 'done', {false}, 'gone', {true}, NULL, {false}, {at}, {at}, {at}, NULL, 0,"
    " 'good', '', 0, {at}, '{{}}', '[]', '{{}}' FROM n",
    "trigger_event": "SELECT 'x' || i, 'data', 'settled', 'f', 1, 'go', {false}, '', {at}, '{{}}', '[]', '[]' FROM n",
}


async def use_everything(store: Store, ref: RunRef) -> None:
    """Every call that services make often, or that people make of lists."""
    for wanted in FILTERS:
        await store.runs(wanted, 20)
        await store.runs(wanted, 20, before=ARCHIVE // 2)
    await store.flows(10, runs=5)
    await store.run(ref)
    await store.events(ref, 0, 10)
    await store.activations(ref, "t0")
    await store.trigger("t1")
    await store.inbox(10)
    await store.output(ref, 1, 0, 10)
    await store.due_timers(10)
    await store.pending_of_trigger("build", "go")
    await store.unstarted(10)
    await store.unanswered(0, 10)
    await store.runs_on_lost_hosts(10)
    await store.unannounced_pends(0)
    await store.unassign_lost()
    await store.agents()
    await store.placement_view(10)
    await store.prune(3650 * 10, 3650 * 10, 10)
    await work(store)


async def work(store: Store) -> None:
    """A run from its trigger to its end."""
    (run,) = await adopt(store, resource_tags=("x",))
    ref = run.facts.ref
    async with store.placement() as placement:
        await placement.view(10)
        await placement.assign([Assignment(ref, "a1", ("tag:x",))])
    async with store.transaction() as transaction:
        (found,) = await lock(transaction, ref)
        await transaction.known_triggers(["t1"])
        change = stepped(found, an_activation(1, process="out"), phase="active", out=1)
        timers = [Timer(ref, 1, "wait", AT)]
        await transaction.save(
            [a_trigger("t2")], [type(change)(change.state, change.before_rev, set_timers=timers)], {}
        )
    await step(store, ref, an_activation(1, phase="done", process="gone"))
    await end(store, ref)


async def prepare(store: Store) -> RunRef:
    await store.start(migrate=True)
    await store.put_flow(a_flow(), source="api")
    await store.beat([an_agent()])
    await store.sync_schedules([Schedule("build", 1, "go", "1s", AT)])
    (run,) = await adopt(store)
    await end(store, run.facts.ref)
    return run.facts.ref


def fill(table: str, dialect: str) -> str:
    words = {"false": "false", "true": "true", "at": "now()"} if dialect == "postgres" else {}
    words = words or {"false": "0", "true": "1", "at": "1700000000000000"}
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < {ARCHIVE + 100})"
    return f"INSERT INTO {table} {numbers} {FILL[table].format(**words)}"


@pytest.fixture
async def filled_postgres(fresh_database: str) -> AsyncIterator[tuple[asyncpg.Connection, RunRef]]:
    store = PostgresStore(fresh_database)
    ref = await prepare(store)
    await store.close()
    connection = await asyncpg.connect(plain_url(fresh_database))
    for table in FILL:
        await connection.execute(fill(table, "postgres"))
    await connection.execute(f"SELECT setval('run_number', {ARCHIVE + 1000})")
    await connection.execute("ANALYZE")
    yield connection, ref
    await connection.close()


async def test_postgres_reads_by_index(filled_postgres: tuple[asyncpg.Connection, RunRef], fresh_database: str) -> None:
    connection, ref = filled_postgres
    read = "SELECT relname, seq_tup_read FROM pg_stat_user_tables"
    before = dict(await connection.fetch(read))
    store = PostgresStore(fresh_database)
    await store.start(migrate=True)
    await use_everything(store, ref)
    await store.close()
    await wait_for_statistics(connection)
    after = dict(await connection.fetch(read))
    scanned = {table: after[table] - before.get(table, 0) for table in GROWING}
    assert {table: rows for table, rows in scanned.items() if rows >= ARCHIVE} == {}


async def wait_for_statistics(connection: asyncpg.Connection) -> None:
    """A backend reports what it read when it ends: wait until the store's are gone."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while await connection.fetchval(others):
        await connection.execute("SELECT pg_stat_clear_snapshot()")


async def test_sqlite_reads_by_index(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    ref = await prepare(store)
    files = store._files
    async with files.main.transaction() as connection:
        for table in FILL:
            connection.execute(fill(table, "sqlite"))
        connection.execute(f"UPDATE counter SET value = {ARCHIVE + 1000} WHERE name = 'run'")
    said: set[str] = set()
    files.main.raw.set_trace_callback(said.add)
    for engine in (files.reader, files.log_reader):
        event.listen(engine, "connect", lambda raw, _: raw.set_trace_callback(said.add))
        engine.dispose()
    await use_everything(store, ref)
    plans = await store._files.main.raw_aside(lambda raw: [plan for sql in sorted(said) for plan in explain(raw, sql)])
    await store.close()
    assert len(said) > 50
    assert [each for each in plans if is_scan(each)] == []


def explain(raw: object, sql: str) -> list[str]:
    if re.match(r"(SELECT|UPDATE|DELETE|WITH)\b", sql) is None or ("log" in sql and "FROM log" in sql):
        return []
    return [f"{row[3]}: {sql}" for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}")]  # type: ignore[attr-defined]


def is_scan(plan: str) -> bool:
    """Through a whole growing table; the list of all runs, from the newest on, ends at its limit."""
    scan = re.match(rf"SCAN ({'|'.join(GROWING)})\b(?! USING (COVERING )?INDEX ix_)", plan)
    newest_first = "run.trigger_type" in plan and ("WHERE" not in plan or "phase = 'archive'" in plan)
    return scan is not None and not newest_first
