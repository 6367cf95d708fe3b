"""The one connection that writes a file, its lock, and the thread that waits for the disk.

Statements run where they are called: they touch memory and take microseconds. What may wait for the disk or for
another process (a COMMIT when the disk is slow, a BEGIN that finds the file locked), and what is long by nature, runs
in the thread, so that the loop goes on.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from shared.store.port import StoreUnavailable
from shared.store.sqlite.files import BUSY_SECONDS, connect, errors
from shared.store.sqlite.pace import Pace

T = TypeVar("T")


class Writer:
    """Serialises write transactions on one file. Waiters are served in order of arrival."""

    def __init__(self, path: Path) -> None:
        self.raw = connect(path, writer=True)
        self.raw.execute("PRAGMA busy_timeout = 0")
        self._core = create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool).connect()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"floe-{path.stem}-writer")
        self._lock = asyncio.Lock()
        self._pace = Pace()
        self._closed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE … COMMIT around raw statements; an error or a cancellation rolls back."""
        async with self._alone():
            await self._begin()
            try:
                yield self.raw
                await self._commit()
            finally:
                self._roll_back()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """One transaction of Core statements."""
        async with self.transaction():
            return work(self._core)

    async def run_aside(self, work: Callable[[Connection], T]) -> T:
        """The same for what is long: all of it in the thread."""
        async with self._alone():
            return await self._in_thread(lambda: self._whole(lambda: work(self._core)))

    async def raw_aside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same with raw statements."""
        async with self._alone():
            return await self._in_thread(lambda: self._whole(lambda: work(self.raw)))

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """As `run_aside`, with foreign keys off: batch mode makes a table anew, which others may point at."""
        async with self._alone():
            self.raw.execute("PRAGMA foreign_keys = OFF")
            try:
                return await self._in_thread(lambda: self._whole(lambda: work(self._core)))
            finally:
                self.raw.execute("PRAGMA foreign_keys = ON")

    async def close(self) -> None:
        """Wait for what is in hand, and let go of the file."""
        async with self._lock:
            self._closed = True
            self._core.close()
            await self._in_thread(self.raw.close)  # the last one to close copies the write-ahead log into the file
            self._thread.shutdown()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._lock:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            with errors():
                yield

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """A cancelled caller still waits: the connection must be at rest before the lock is given on."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])
            raise

    async def _begin(self) -> None:
        try:
            self.raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            await self._in_thread(self._begin_patiently)

    def _begin_patiently(self) -> None:
        """Another process may be writing: wait for it as long as BUSY_SECONDS."""
        self.raw.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        try:
            self.raw.execute("BEGIN IMMEDIATE")
        finally:
            self.raw.execute("PRAGMA busy_timeout = 0")

    async def _commit(self) -> None:
        if self._pace.in_loop:
            with self._pace.measured():
                self._commit_now()
        else:
            await self._in_thread(self._commit_now)

    def _commit_now(self) -> None:
        self._core.commit()  # nothing, unless Core statements ran
        self.raw.commit()

    def _roll_back(self) -> None:
        self._core.rollback()
        if self.raw.in_transaction:
            self.raw.rollback()

    def _whole(self, work: Callable[[], T]) -> T:
        self._begin_patiently()
        try:
            result = work()
            self._commit_now()
            return result
        finally:
            self._roll_back()
