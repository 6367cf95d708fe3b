"""Which version a database's schema has, and bringing it up to date. Alembic is imported only when there is a step
to go: a new database gets the tables as they are now and is stamped."""

from sqlalchemy import Connection, MetaData, inspect, text

from shared.errors import ConfigurationError
from shared.store.tables import log_metadata, metadata

HEAD = "0001"
"""The latest migration; versions sort as text."""
PARTS: dict[str, tuple[MetaData, ...]] = {
    "all": (metadata, log_metadata),
    "runs": (metadata,),
    "logs": (log_metadata,),
}
"""What a database holds: PostgreSQL has it all in one, SQLite in a file for each."""

_VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL,"
    " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def version_of(connection: Connection) -> str | None:
    """The stored version; None for a database without our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def is_current(connection: Connection) -> bool:
    """Whether this code can work on it: up to date, or newer (old processes go on while a release rolls out)."""
    version = version_of(connection)
    return version is not None and version >= HEAD


def bring_up(connection: Connection, part: str) -> str | None:
    """Make the schema current, in the caller's transaction and under its lock; returns the version found."""
    version = version_of(connection)
    if version is None:
        _create(connection, part)
    elif version < HEAD:
        _upgrade(connection, part)
    return version


def _create(connection: Connection, part: str) -> None:
    for tables in PARTS[part]:
        tables.create_all(connection, checkfirst=False)
    if part != "logs":
        connection.execute(text("INSERT INTO counter (name, value) VALUES ('flow', 0), ('run', 0)"))
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection, part: str) -> None:
    from shared.store.migrations import upgrade

    upgrade(connection, part)
    if version_of(connection) != HEAD:
        raise ConfigurationError(f"the store's schema could not be brought to version {HEAD}")
