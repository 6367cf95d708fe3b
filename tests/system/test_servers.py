"""The private servers keep what was promised over kill -9 and leave nothing behind."""

import aiormq
import asyncpg
import pytest

from tests.servers import PrivatePostgres, PrivateRabbit
from tests.servers.machine import processes_of
from tests.servers.postgres import plain_url

pytestmark = pytest.mark.anyio


async def test_a_fresh_database_is_empty_and_durable(fresh_database: str) -> None:
    connection = await asyncpg.connect(plain_url(fresh_database))
    try:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()


async def test_a_fresh_vhost_takes_connections(fresh_vhost: str) -> None:
    await _declare(fresh_vhost)


async def test_postgres_keeps_rows_over_kill_and_leaves_nothing() -> None:
    with PrivatePostgres() as server:
        server.start()
        first = server.pid
        server.execute("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
        server.restart(kill=True)
        assert server.pid != first
        server.execute("INSERT INTO kept SELECT n + 1 FROM kept")
    assert not server.directory.exists()
    assert processes_of(server.directory) == []


async def test_rabbit_keeps_queues_over_kill_and_leaves_nothing() -> None:
    with PrivateRabbit() as server:
        server.start()
        await _declare(server.url)
        server.restart(kill=True)
        await _declare(server.url, passive=True)
    assert not server.directory.exists()
    assert processes_of(server.directory) == []


async def _declare(url: str, passive: bool = False) -> None:
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True, passive=passive, arguments={"x-queue-type": "quorum"})
    finally:
        await connection.close()
