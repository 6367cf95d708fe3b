"""The store in two files of one directory."""

from shared.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
