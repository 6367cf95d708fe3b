"""Starting, ending, being killed: what was committed is there, and nothing of what was not."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import Unavailable
from shared.flows.model import definition_hash
from shared.runs.refs import RunRef
from shared.store.port import LogChunk, RunFilter, Store, StoreUnavailable
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.servers import PrivatePostgres
from tests.store.make import a_flow, adopt, adoption, end
from tests.waiting import wait_until_blocking

pytestmark = pytest.mark.anyio

WRITES_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from shared.store.port import LogChunk
from shared.store.sqlite import SqliteStore
from tests.store.make import adopt, end

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.start(migrate=True)
    while True:
        for run in await adopt(store, 3):
            ref = run.facts.ref
            await store.append_output([LogChunk(ref, 1, 0, ref.encode())])
            await end(store, ref)
            print(ref, flush=True)

asyncio.run(main())
"""


async def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    """Three times: each run that the process had said was ended is there, whole; numbers go on where they were."""
    said = [ref for _ in range(3) for ref in write_until_killed(tmp_path)]
    assert len(set(said)) == len(said)
    store = SqliteStore(tmp_path / "store")
    await store.start(migrate=True)
    ended = {row.ref for row in await store.runs(RunFilter(phase="archive"), 100_000)}
    assert ended >= set(said)
    for ref in map(RunRef, said[-20:]):
        assert await store.output(ref, 1, 0, 100) == ref.encode()
        assert len(await store.events(ref, 0, 10)) == 1
    await store.close()


def write_until_killed(directory: Path) -> list[str]:
    """What a writing process said that it had ended, before it was killed."""
    out = directory / "said"
    with out.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, directory / "store"], stdout=file)
    try:
        wait_until_blocking(lambda: len(out.read_bytes().split()) > 40, what="forty runs were ended")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    return out.read_text().rpartition("\n")[0].split()


async def test_numbers_go_on_after_a_restart(tmp_path: Path, fresh_database: str) -> None:
    for first, second in (
        (SqliteStore(tmp_path), SqliteStore(tmp_path)),
        (PostgresStore(fresh_database), PostgresStore(fresh_database)),
    ):
        seen = []
        for store in (first, second):
            await store.start(migrate=True)
            seen += [run.facts.number for run in await adopt(store, 3)]
            await store.close()
        assert seen == sorted(set(seen))


async def test_a_store_closes_twice_and_not_while_it_works(unstarted_store: Store) -> None:
    store = unstarted_store
    await store.close()
    await store.start(migrate=True)
    await store.start(migrate=True)
    runs = await adopt(store, 5)
    works = [asyncio.ensure_future(end(store, run.facts.ref)) for run in runs]
    await asyncio.gather(*works)
    await store.close()
    await store.close()


async def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    """FULL: SQLite syncs the write-ahead log with every commit (2), for runs and for output."""
    store = SqliteStore(tmp_path)
    await store.start(migrate=True)
    for writer in (store._files.main, store._files.logs):
        settings = [writer.raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]
    await store.close()


async def test_a_closed_embedded_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreUnavailable):
        await store.ping()


async def test_a_cancelled_transaction_leaves_the_store_usable(store: Store) -> None:
    """At whatever await it is hit."""
    for turns in range(12):
        task = asyncio.ensure_future(adopt(store))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    (run,) = await adopt(store)
    assert await store.run(run.facts.ref) is not None
    kept = await store.runs(RunFilter(), 50)
    assert len({row.number for row in kept}) == len(kept)


async def test_transactions_of_one_store_do_not_mix(store: Store) -> None:
    """Thirty at once, each with an await of its own inside; half of them fail."""
    flow = a_flow()

    async def one(n: int) -> None:
        async with store.transaction() as transaction:
            await asyncio.sleep(0)
            (run,) = await transaction.new_numbers(1)

            await transaction.save([], [adoption(run, flow)], {definition_hash(flow): flow})
            await asyncio.sleep(0)
            if n % 2:
                raise ZeroDivisionError

    answers = await asyncio.gather(*(one(n) for n in range(30)), return_exceptions=True)
    assert [type(each) for each in answers[1::2]] == [ZeroDivisionError] * 15
    assert len(await store.runs(RunFilter(), 50)) == 15


async def test_a_database_that_comes_late_is_waited_for_and_one_that_goes_is_told() -> None:
    with PrivatePostgres() as server:
        server.start()
        url = server.create_database()
        server.stop()
        store = PostgresStore(url)
        starting = asyncio.ensure_future(store.start(migrate=True))
        assert not (await asyncio.wait([starting], timeout=0.2))[0]
        server.start()
        await starting
        (run,) = await adopt(store)
        server.kill()
        for call in (store.ping(), adopt(store), store.append_output([LogChunk(run.facts.ref, 1, 0, b"x")])):
            with pytest.raises(Unavailable):
                await call
        server.start()
        await store.ping()
        assert await store.run(run.facts.ref) is not None
        await adopt_patiently(store)
        await store.close()


async def adopt_patiently(store: Store) -> None:
    """As a hub does: the whole transaction again. Pooled connections of the dead server are found out one by one."""
    for _ in range(10):
        try:
            await adopt(store)
            return
        except StoreUnavailable:
            continue
    raise AssertionError("the store did not come back")


async def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Runs and logs hold what nobody else on the machine is to read, also in a root that others may look into."""
    os.chmod(tmp_path, 0o755)
    store = SqliteStore(tmp_path)
    await store.start(migrate=True)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path)}
    await store.close()
    assert {"floe.db", "floe.db-wal", "logs.db", "logs.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}
