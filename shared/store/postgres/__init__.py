"""The store in one PostgreSQL database."""

from shared.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
