"""`python -m shared.store.migrations.check`: do the migrations lead to the tables that the code has, and back?

On SQLite in memory, so that it needs no server; the suite asks PostgreSQL the same. Exit status 1 says what differs.
"""

import sys
from collections.abc import Sequence

from sqlalchemy import Connection, create_engine, inspect

from shared.store import schema
from shared.store.migrations import downgrade, upgrade
from shared.store.migrations.drift import drift


def check(migrated: Connection, created: Connection, part: str) -> Sequence[str]:
    """Migrate one empty database, make the tables in another, compare, and go all the way back."""
    upgrade(migrated, part)
    schema.bring_up(created, part)
    found = list(drift(migrated, created, part))
    if schema.version_of(migrated) != schema.HEAD:
        found.append(f"the last migration is {schema.version_of(migrated)}, schema.HEAD says {schema.HEAD}")
    downgrade(migrated, part, "base")
    left = set(inspect(migrated).get_table_names()) - {"alembic_version"}
    return [*found, *(f"{table}: still there after going back" for table in sorted(left))]


def main() -> int:
    found = []
    for part in ("all", "runs", "logs"):
        with create_engine("sqlite://").connect() as migrated, create_engine("sqlite://").connect() as created:
            found += [f"{part}: {each}" for each in check(migrated, created, part)]
    for each in found:
        print(each, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
