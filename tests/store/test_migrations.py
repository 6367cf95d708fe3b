"""The migrations lead to the tables; a new database needs none; an old one is brought up under a lock (X17)."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.store import migrations, schema
from shared.store.migrations import check, downgrade, upgrade
from shared.store.migrations.drift import differences, drift, shape, together
from shared.store.port import RunFilter, Store
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.store.make import adopt

T = TypeVar("T")

pytestmark = pytest.mark.anyio


def test_sqlite_migrations_lead_to_the_tables_and_back() -> None:
    assert check.main() == 0


async def test_postgres_migrations_lead_to_the_tables_and_back(fresh_database: str) -> None:
    """Both in one database, one after the other: Alembic wants a connection that is not asynchronous."""
    assert await in_postgres(fresh_database, _check_in_one_database) == []


def _check_in_one_database(connection: Connection) -> Sequence[str]:
    schema.bring_up(connection, "all")
    created = shape(connection)
    for tables in schema.PARTS["all"]:
        tables.drop_all(connection)
    connection.execute(text("DROP TABLE alembic_version"))
    upgrade(connection, "all")
    compared = compare_metadata(MigrationContext.configure(connection), together("all"))
    migrated = shape(connection)
    downgrade(connection, "all", "base")
    left = set(inspect(connection).get_table_names()) | set(inspect(connection).get_sequence_names())
    return [*map(str, compared), *differences(created, migrated), *sorted(left - {"alembic_version"})]


async def in_postgres(url: str, work: Callable[[Connection], T]) -> T:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        result = await connection.run_sync(work)
    await engine.dispose()
    return result


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE run ADD COLUMN extra TEXT", "DROP INDEX ix_run_open", "CREATE TABLE extra (id INTEGER PRIMARY KEY)"],
)
def test_a_drift_is_found(statement: str) -> None:
    with create_engine("sqlite://").connect() as migrated, create_engine("sqlite://").connect() as created:
        upgrade(migrated, "all")
        schema.bring_up(created, "all")
        assert drift(migrated, created, "all") == []
        migrated.execute(text(statement))
        assert drift(migrated, created, "all") != []


async def test_many_processes_start_on_an_empty_database_at_once(fresh_database: str) -> None:
    stores = [PostgresStore(fresh_database) for _ in range(4)]
    waiting = PostgresStore(fresh_database)
    async with asyncio.TaskGroup() as group:
        group.create_task(waiting.start(migrate=False))
        for store in stores:
            group.create_task(store.start(migrate=True))
    assert (await waiting.latest_flows()) == (0, [])
    for store in (*stores, waiting):
        await store.close()
        await store.close()


NEXT = """
import sqlalchemy as sa
from alembic import op
from shared.store.migrations import holds

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    if holds("runs"):
        with op.batch_alter_table("definition") as table:
            table.add_column(sa.Column("extra", sa.Text, nullable=False, server_default="new"))
            table.alter_column("body", new_column_name="text")
    if holds("logs"):
        op.create_table("more", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Calling it makes this code one migration newer."""

    def release() -> None:
        (tmp_path / "v0002_next.py").write_text(NEXT)
        monkeypatch.setattr(migrations, "VERSIONS", [*migrations.VERSIONS, tmp_path])
        monkeypatch.setattr(schema, "HEAD", "0002")

    return release


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_an_older_schema_is_brought_up_with_its_data(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, next_version: Callable[[], None]
) -> None:
    def another() -> Store:
        if kind == "sqlite":
            return SqliteStore(tmp_path / "store")
        return PostgresStore(request.getfixturevalue("fresh_database"))

    before, waiting, after = another(), another(), another()
    await before.start(migrate=True)
    (run,) = await adopt(before)
    next_version()
    waits = asyncio.create_task(waiting.start(migrate=False))
    assert not (await asyncio.wait([waits], timeout=0.1))[0]
    await after.start(migrate=True)
    await waits
    for store in (before, waiting, after):
        assert [row.ref for row in await store.runs(RunFilter(), 5)] == [run.facts.ref]
        await store.close()


async def test_a_newer_schema_is_worked_with(fresh_database: str) -> None:
    first = PostgresStore(fresh_database)
    await first.start(migrate=True)
    await first.close()
    await in_postgres(fresh_database, lambda one: one.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    second = PostgresStore(fresh_database)
    await second.start(migrate=True)
    await second.ping()
    await second.close()


def test_a_new_store_needs_no_alembic(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, pathlib; from shared.store.sqlite import SqliteStore\n"
        f"asyncio.run(SqliteStore(pathlib.Path({str(tmp_path)!r})).start(migrate=True))\n"
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
