"""Checks that the migrations, run from nothing, give the very tables that the code works with."""

import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from shared.store.migrations import upgrade
from shared.store.schema import HEAD, PARTS, version_of


def main() -> int:
    problems = [problem for part in PARTS for problem in differences(part)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def differences(part: str) -> list[str]:
    """What autogeneration would still change after the last migration of this part."""
    with create_engine("sqlite://").begin() as connection:
        upgrade(connection, part)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        changes = compare_metadata(context, PARTS[part])  # type: ignore[arg-type]
        found = [f"schema: {part}: the migrations lack {change}" for change in changes]
        if version_of(connection) != HEAD:
            found.append(f"schema: {part}: the migrations end at {version_of(connection)}, the code wants {HEAD}")
    return found


if __name__ == "__main__":
    sys.exit(main())
