"""Whether the migrations lead to the tables that the code has."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect

from shared.store import schema

Shape = dict[str, Any]


def drift(migrated: Connection, created: Connection, part: str) -> Sequence[str]:
    """What differs, in words; empty when nothing does. `created` was made from the tables, `migrated` step by step."""
    found = [str(each) for each in _compared(migrated, part)]
    ours, theirs = shape(created), shape(migrated)
    for table in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(table, {}), theirs.get(table, {})
        for what in sorted(mine.keys() | other.keys()):
            if mine.get(what) != other.get(what):
                found.append(f"{table}.{what}: tables say {mine.get(what)}, migrations say {other.get(what)}")
    return found


def _compared(migrated: Connection, part: str) -> Sequence[Any]:
    """By Alembic's own comparison (which does not see conditions of indexes)."""
    together = MetaData()
    for tables in schema.PARTS[part]:
        for table in tables.sorted_tables:
            table.to_metadata(together)
    return list(compare_metadata(MigrationContext.configure(migrated), together))


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
