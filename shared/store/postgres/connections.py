"""Connections: one way to open them, a pool for the hot path, and an engine for Core."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.store.port import StoreUnavailable
from shared.store.postgres.errors import errors

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 20.0
"""Beyond statement_timeout: what does not even answer with that is away."""
_SETTINGS = {
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    "jit": "off",
}
_HOT = {
    # The hot statements touch rows by key. Plans made while tables are empty must not outlive that: no scans.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


def plain_url(url: str) -> str:
    """The url as the driver takes it: without SQLAlchemy's driver name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Connections:
    """All connections of one store: at most `size` hot ones, and as many for Core."""

    def __init__(self, url: str, name: str, size: int) -> None:
        self._url, self._name, self._size = plain_url(url), name, size
        self._pool: asyncpg.Pool | None = None
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=1,
            max_overflow=size - 1,
            pool_timeout=COMMAND_SECONDS,
        )
        self.reading: AsyncEngine = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    async def open(self) -> None:
        """Raises StoreUnavailable while the database is away."""
        if self._pool is not None:
            return
        with errors():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                reset=_nothing,
                **self._settings(_HOT),
            )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except TimeoutError:
                pool.terminate()
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self, begin: str = "BEGIN") -> AsyncIterator[Any]:
        """A hot connection in a transaction that commits at the end of the context. `begin` may do more in the same
        round trip."""
        if self._pool is None:
            raise StoreUnavailable("the store is not open")
        with errors():
            async with self._pool.acquire(timeout=COMMAND_SECONDS) as connection:
                try:
                    await connection.execute(begin)
                    yield connection
                    await connection.execute("COMMIT")
                except BaseException:
                    await _roll_back(connection)
                    raise

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._url, **self._settings({}))

    def _settings(self, more: dict[str, str]) -> dict[str, Any]:
        return {
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "statement_cache_size": 200,
            "max_cached_statement_lifetime": 0,
            "server_settings": {"application_name": self._name, **_SETTINGS, **more},
        }


async def _roll_back(connection: Any) -> None:
    """Leave the connection at rest, or cut it: what was wrong before is what the caller is to hear."""
    if connection.is_closed() or not connection.is_in_transaction():
        return
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()


async def _nothing(connection: object) -> None:
    """Every transaction ends what it began; there is nothing to reset."""
