"""The little that Core leaves to each database."""

from datetime import UTC, datetime

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)


def is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def now(connection: Connection) -> datetime:
    """The database's time: PostgreSQL's at the transaction's begin; SQLite has none but this process's."""
    if is_sqlite(connection):
        return datetime.now(UTC)
    found: datetime = connection.execute(select(func.now())).scalar_one()
    return found.astimezone(UTC)
