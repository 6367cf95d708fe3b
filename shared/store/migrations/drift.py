"""Whether the migrations lead to the tables that the code has."""

from collections.abc import Iterator, Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect

from shared.store import schema
from shared.store.tables import metadata

Shape = dict[str, Any]


def drift(migrated: Connection, created: Connection, part: str) -> Sequence[str]:
    """What differs, in words; empty when nothing does. `created` was made from the tables, `migrated` step by step."""
    compared = compare_metadata(MigrationContext.configure(migrated), together(part))
    return [*map(str, compared), *differences(shape(created), shape(migrated))]


def together(part: str) -> MetaData:
    """All tables of a part as one metadata."""
    found = MetaData(naming_convention=metadata.naming_convention)
    for tables in schema.PARTS[part]:
        for table in tables.sorted_tables:
            table.to_metadata(found)
    return found


def differences(created: Shape, migrated: Shape) -> Iterator[str]:
    """Alembic's own comparison does not see conditions of indexes; this one does."""
    for table in sorted(created.keys() | migrated.keys()):
        ours, theirs = created.get(table, {}), migrated.get(table, {})
        for what in sorted(ours.keys() | theirs.keys()):
            if ours.get(what) != theirs.get(what):
                yield f"{table}.{what}: tables say {ours.get(what)}, migrations say {theirs.get(what)}"


def shape(connection: Connection) -> Shape:
    """Every table's columns, keys and indexes, conditions included."""
    seen = inspect(connection)
    return {table: _table(seen, table) for table in seen.get_table_names()}


def _table(seen: Any, table: str) -> Shape:
    found: Shape = {"primary key": seen.get_pk_constraint(table)["constrained_columns"]}
    for column in seen.get_columns(table):
        found[column["name"]] = (str(column["type"]), column["nullable"])
    for index in seen.get_indexes(table):
        where = {key: str(value) for key, value in index.get("dialect_options", {}).items() if key.endswith("_where")}
        found[index["name"]] = (index["column_names"], bool(index["unique"]), where)
    for key in seen.get_foreign_keys(table):
        found[str(key["name"])] = (key["constrained_columns"], key["referred_table"], key["referred_columns"])
    return found
