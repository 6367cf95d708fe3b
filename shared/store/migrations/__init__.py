"""The schema's history, for databases that are older than this code. Imported only when there is a step to go.

A migration is written for both databases and for each part (`holds`): PostgreSQL has all in one database, SQLite runs
and logs in a file each, with the same versions. In SQLite columns are altered in batch mode (`op.batch_alter_table`).
Expand first, contract a release later: old processes run on while a new version rolls out.
"""

from pathlib import Path

from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection

VERSIONS = [Path(__file__).parent / "versions"]
"""Where migrations lie."""


def upgrade(connection: Connection, part: str, to: str = "head") -> None:
    """Bring an older database to a version, in the caller's transaction."""
    command.upgrade(_config(connection, part), to)


def downgrade(connection: Connection, part: str, to: str) -> None:
    """Go back to a version; `base` leaves nothing."""
    command.downgrade(_config(connection, part), to)


def holds(part: str) -> bool:
    """Whether the database that a migration runs on has that part; for use in migrations."""
    context = op.get_context()
    mine = context.opts["part"]
    return bool(mine in {"all", part})


def _config(connection: Connection, part: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, VERSIONS)).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["part"] = part
    return config
