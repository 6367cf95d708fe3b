"""The embedded store. One writer per file, readers beside it; a transaction of the hub runs inline in the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from shared.placement import AgentRow, PlacementView
from shared.runs.refs import RunRef
from shared.store import schema
from shared.store.core import CoreStore, P, Query, T
from shared.store.port import HubTransaction, LogChunk, PlacementTransaction, Store, StoreUnavailable
from shared.store.retry import again
from shared.store.sqlite import logs, placement
from shared.store.sqlite.files import LOGS, MAIN, connect, errors
from shared.store.sqlite.hub import Numbers, SqliteHubTransaction
from shared.store.sqlite.writer import Writer

_LITTLE_OUTPUT = 64 * 1024
"""Bytes that are stored in the loop; more goes to the thread."""
_LOOK_AGAIN_SECONDS = 0.2


class SqliteStore(CoreStore):
    """`Store` in `directory`, which is made when missing. One process at a time is what it is made for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = Numbers()
        self._open: _Opened | None = None

    async def start(self, *, migrate: bool) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._open is None:
            with errors():
                self._open = _Opened(self._directory)
        for writer, part in ((self._files.main, "runs"), (self._files.logs, "logs")):
            if migrate:
                await writer.migrate(partial(schema.bring_up, part=part))
            while not await writer.run(schema.is_current):  # noqa: ASYNC110 - another process migrates
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[HubTransaction]:
        async with self._files.main.transaction() as connection:
            yield SqliteHubTransaction(connection, self._numbers)

    @asynccontextmanager
    async def placement(self) -> AsyncIterator[PlacementTransaction]:
        async with self._files.main.transaction() as connection:
            yield placement.SqlitePlacement(connection)

    async def beat(self, agents: Sequence[AgentRow]) -> Mapping[str, str]:
        async with self._files.main.transaction() as connection:
            return placement.beat(connection, agents)

    async def placement_view(self, limit: int) -> PlacementView:
        return await self._read(_view, limit)

    async def append_output(self, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
        writer = self._files.logs
        if sum(len(chunk.data) for chunk in chunks) > _LITTLE_OUTPUT:
            return await writer.raw_aside(lambda connection: logs.append(connection, chunks))
        async with writer.transaction() as connection:
            return logs.append(connection, chunks)

    @property
    def _files(self) -> "_Opened":
        if self._open is None:
            raise StoreUnavailable(f"the store in {self._directory} is not open")
        return self._open

    async def _read(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return _read(self._files.reader, lambda connection: query(connection, *args, **kwargs))

    async def _read_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return _read(self._files.log_reader, lambda connection: query(connection, *args, **kwargs))

    async def _write(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await again(lambda: self._files.main.run(lambda connection: query(connection, *args, **kwargs)))

    async def _prune(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await again(lambda: self._files.main.run_aside(lambda connection: query(connection, *args, **kwargs)))

    async def _prune_logs(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await again(lambda: self._files.logs.run_aside(lambda connection: query(connection, *args, **kwargs)))


def _view(connection: Connection, limit: int) -> PlacementView:
    raw = connection.connection.dbapi_connection
    assert raw is not None
    return placement.read_view(raw, limit)  # type: ignore[arg-type]


class _Opened:
    """The open files. Reads run in the loop: each takes a few rows by index, and has the reader to itself."""

    def __init__(self, directory: Path) -> None:
        self.main, self.logs = Writer(directory / MAIN), Writer(directory / LOGS)
        self.reader, self.log_reader = _reader(directory / MAIN), _reader(directory / LOGS)

    async def close(self) -> None:
        self.reader.dispose()
        self.log_reader.dispose()
        try:
            await self.main.close()
        finally:
            await self.logs.close()


def _reader(path: Path) -> Engine:
    return create_engine("sqlite://", creator=partial(connect, path, writer=False), poolclass=StaticPool)


def _read(engine: Engine, work: Callable[[Connection], T]) -> T:
    with errors(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        return work(connection)


if TYPE_CHECKING:  # the promise, held by the type checker
    _: Store = SqliteStore(Path())
