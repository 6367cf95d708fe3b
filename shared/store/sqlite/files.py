"""Connections to the store's files, set the way that keeps what was promised over kill -9 and power loss."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from shared.store.port import StoreConflict, StoreUnavailable

MAIN, LOGS = "floe.db", "logs.db"
BUSY_SECONDS = 5.0
_WAL_BYTES = 64 * 1024 * 1024


def connect(path: Path, *, writer: bool) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun by hand. Its calls may come from any one thread at a
    time. WAL and synchronous=FULL: a commit that returned is on the disk. A new file is its owner's alone to read, and
    so are its journals."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -8000")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    if not writer:
        connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def errors() -> Iterator[None]:
    """What SQLite says, in the store's words. What is wrong for good (a statement, a value's type) passes."""
    try:
        yield
    except sqlite3.Error as error:
        raise _judged(error) from error
    except DBAPIError as error:
        raise _judged(error.orig or error) from error


def _judged(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.IntegrityError):
        return StoreConflict(f"SQLite: {error}")
    if isinstance(error, sqlite3.ProgrammingError) or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
        return error
    return StoreUnavailable(f"SQLite: {error}")
