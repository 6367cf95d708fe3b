"""The schema's history, for databases that are older than this code. Imported only when there is a step to go."""

from sqlalchemy import Connection


def upgrade(connection: Connection, part: str) -> None:
    """Bring an older database to the latest version, in the caller's transaction."""
    raise NotImplementedError(part)
