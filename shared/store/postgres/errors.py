"""What PostgreSQL and its driver say, in the store's words."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.store.port import StoreConflict, StoreUnavailable

_CONFLICTS = frozenset({"40001", "40P01", "55P03", "23503", "23505"})
"""Serialisation, deadlock, lock timeout; a key that another wrote or deleted first."""
_AWAY = frozenset({"08", "25P03", "53", "57", "58", "XX"})
"""Connection, idle too long, resources, operator, system: it may go better later."""


@contextmanager
def errors() -> Iterator[None]:
    """Connections that are refused or time out come as bare OSError. What is wrong for good (types, syntax) passes."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _judged(error, error.sqlstate) from error
    except DBAPIError as error:
        raise _judged(error, getattr(error.orig, "sqlstate", None)) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, PoolTimeout, OSError) as error:
        raise StoreUnavailable(f"PostgreSQL is out of reach: {error or type(error).__name__}") from error


def _judged(error: Exception, state: str | None) -> Exception:
    if state in _CONFLICTS:
        return StoreConflict(f"PostgreSQL: {error}")
    if state is None or state in _AWAY or state[:2] in _AWAY:
        return StoreUnavailable(f"PostgreSQL: {error}")
    return error
