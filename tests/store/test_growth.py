"""What a step costs does not grow with a run's history, nor with the archive (ARCHITECTURE §4, W5)."""

import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.runs.refs import RunRef
from shared.store.port import Store
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.servers.postgres import plain_url
from tests.store.make import adopt, an_activation, an_event, lock, stepped

pytestmark = pytest.mark.anyio


async def chain(store: Store, ref: RunRef, first: int, count: int) -> None:
    """A chain's steps: the former task is done, the next is offered."""
    for n in range(first, first + count):
        async with store.transaction() as transaction:
            (run,) = await lock(transaction, ref)
            done = [an_activation(n - 1, f"t{n - 1}", phase="done", process="gone")] if n > 1 else []
            seq = run.state.seq
            events = [an_event(ref, seq + 1), an_event(ref, seq + 2)]
            change = stepped(run, *done, an_activation(n, f"t{n}", process="out"), events=events, out=1)
            await transaction.save([], [change], {})
    assert len(run.state.open) <= 1


async def test_bytes_written_per_step_do_not_grow_in_sqlite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    await store.start(migrate=True)
    big = {"text": "x" * 100_000}
    (run,) = await adopt(store, opts=big)
    wal = _Wal(tmp_path / "floe.db")
    early = await wal.written_by(chain(store, run.facts.ref, 1, 50))
    await chain(store, run.facts.ref, 51, 1_900)
    late = await wal.written_by(chain(store, run.facts.ref, 1_951, 50))
    wal.close()
    await store.close()
    assert late <= early * 1.3
    assert early / 50 < 100_000


class _Wal:
    """Pages that were written, by the length of a write-ahead log that was emptied before."""

    def __init__(self, path: Path) -> None:
        self._connection, self._path = sqlite3.connect(path), path.with_name(path.name + "-wal")

    async def written_by(self, work: Any) -> int:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        await work
        return self._path.stat().st_size

    def close(self) -> None:
        self._connection.close()


async def test_bytes_written_per_step_do_not_grow_in_postgres(fresh_database: str) -> None:
    store = PostgresStore(fresh_database)
    await store.start(migrate=True)
    watch = await asyncpg.connect(plain_url(fresh_database))
    await watch.execute("CHECKPOINT")

    async def written_by(work: Any) -> int:
        before = await watch.fetchval("SELECT pg_current_wal_insert_lsn()")
        await work
        return int(await watch.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", before))

    (run,) = await adopt(store, opts={"text": "x" * 100_000})
    await chain(store, run.facts.ref, 1, 20)
    early = await written_by(chain(store, run.facts.ref, 21, 50))
    await chain(store, run.facts.ref, 71, 1_880)
    late = await written_by(chain(store, run.facts.ref, 1_951, 50))
    await watch.close()
    await store.close()
    assert late <= early * 1.5
    assert early / 50 < 20_000
