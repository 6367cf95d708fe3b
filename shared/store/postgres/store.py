"""The store for many processes. Core through SQLAlchemy, the hot path through the driver."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.placement import AgentRow, PlacementView
from shared.runs.refs import RunRef
from shared.store import schema
from shared.store.core import CoreStore, P, Query, T
from shared.store.port import HubTransaction, LogChunk, PlacementTransaction, Store, StoreUnavailable
from shared.store.postgres import logs, placement
from shared.store.postgres.connections import Connections
from shared.store.postgres.errors import errors
from shared.store.postgres.hub import NOW, PostgresHubTransaction
from shared.store.retry import again

_MIGRATION_LOCK = placement.LOCK + 1
_LOOK_AGAIN_SECONDS = 0.5
_SAY_AGAIN_SECONDS = 10.0
log = structlog.get_logger()


class PostgresStore(CoreStore):
    """`Store` in the database of `url` (`postgresql://` or `postgresql+asyncpg://`).

    `hub_host` names the process in pg_stat_activity. At most `2 * pool_size` connections.
    """

    def __init__(self, url: str, *, hub_host: str = "", pool_size: int = 5) -> None:
        self._connections = Connections(url, f"floe {hub_host}".strip(), pool_size)

    async def start(self, *, migrate: bool) -> None:
        said = float("-inf")
        while True:
            try:
                await self._connections.open()
                if await self._prepared(migrate):
                    return
                why = "its schema is older than this version: run `floe migrate`"
            except StoreUnavailable as error:
                why = str(error)
            if time.monotonic() - said > _SAY_AGAIN_SECONDS:
                said = time.monotonic()
                log.warning("store.away", why=why)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def close(self) -> None:
        await self._connections.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[HubTransaction]:
        async with self._connections.transaction() as connection:
            now, generation = await connection.fetchrow(NOW)
            yield PostgresHubTransaction(connection, now, generation or 0)

    @asynccontextmanager
    async def placement(self) -> AsyncIterator[PlacementTransaction]:
        async with self._connections.transaction(placement.BEGIN) as connection:
            yield placement.PostgresPlacement(connection)

    async def beat(self, agents: Sequence[AgentRow]) -> Mapping[str, str]:
        async def beat() -> Mapping[str, str]:
            async with self._connections.transaction() as connection:
                return await placement.beat(connection, agents)

        return await again(beat) if agents else {}

    async def placement_view(self, limit: int) -> PlacementView:
        async def view() -> PlacementView:
            async with self._connections.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
                return await placement.read_view(connection, limit)

        return await again(view)

    async def append_output(self, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
        async def append() -> Mapping[tuple[RunRef, int], int]:
            async with self._connections.transaction() as connection:
                return await logs.append(connection, chunks)

        return await again(append) if chunks else {}

    async def _read(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await again(lambda: self._call(self._connections.reading, query, *args, **kwargs))

    async def _read_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._read(query, *args, **kwargs)

    async def _write(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await again(lambda: self._call(self._connections.engine, query, *args, **kwargs))

    async def _prune(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(query, *args, **kwargs)

    async def _prune_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(query, *args, **kwargs)

    async def _call(self, engine: AsyncEngine, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._connections.is_open:
            raise StoreUnavailable("the store is not open")
        with errors():
            async with engine.begin() as connection:
                return await connection.run_sync(lambda sync: query(sync, *args, **kwargs))

    async def _prepared(self, migrate: bool) -> bool:
        """Whether the schema is current, after bringing it there if that is our task."""
        query = _migrate if migrate else schema.is_current
        return await self._call(self._connections.engine, query)


def _migrate(connection: Connection) -> bool:
    """One process at a time; the others find it done. A migration may take as long as it takes."""
    for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {setting} = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    schema.bring_up(connection, "all")
    return True


if TYPE_CHECKING:  # the promise, held by the type checker
    _: Store = PostgresStore("")
