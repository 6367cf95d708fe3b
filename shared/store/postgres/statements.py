"""Multi-row statements: rows come as one array per column. Several kinds of rows go in one statement, as CTEs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from shared.store import rows
from shared.store.tables import activation, definition, run, run_event, run_opts, timer, trigger_event

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_ROWS = "{rows}"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that writes `{rows}`, a table of the given column types, and returns a row for each that it wrote."""

    sql: str
    types: tuple[str, ...]


def types(table: Table, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns' types as PostgreSQL names them."""
    return tuple(table.c[column].type.compile(dialect=_DIALECT) for column in columns)


def unnest(types: Sequence[str], first: int = 1) -> str:
    """A table of arrays that are the parameters from `$first` on."""
    return f"unnest({', '.join(f'${at}::{each}[]' for at, each in enumerate(types, first))})"


def insert(table: Table, columns: Sequence[str], then: str = "") -> Statement:
    sql = f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM {_ROWS} {then} RETURNING 1"  # noqa: S608
    return Statement(sql, types(table, columns))


def overwrite(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


def _step() -> Statement:
    """Update runs by number where the rev still is the one that was read."""
    columns = (*rows.RUN_MOVING, "number")
    sets = ", ".join(f"{column} = new.{column}" for column in rows.RUN_MOVING)
    named = ", ".join((*columns, "before_rev"))
    return Statement(
        f"UPDATE run SET {sets} FROM {_ROWS} AS new ({named})"  # noqa: S608
        " WHERE run.number = new.number AND run.rev = new.before_rev RETURNING 1",
        types(run, (*columns, "rev")),
    )


def _delete_timers() -> Statement:
    key = ("run", "n", "kind")
    return Statement(
        f"DELETE FROM timer USING {_ROWS} AS old (run, n, kind)"  # noqa: S608
        " WHERE timer.run = old.run AND timer.n = old.n AND timer.kind = old.kind RETURNING 1",
        types(timer, key),
    )


KINDS = {
    "definitions": insert(definition, ("hash", "body"), "ON CONFLICT DO NOTHING"),
    "triggers": insert(
        trigger_event,
        rows.TRIGGER,
        f"ON CONFLICT (id) DO UPDATE SET {overwrite(rows.TRIGGER[1:])} WHERE trigger_event.state = 'inbox'",
    ),
    "new_runs": insert(run, rows.RUN),
    "new_opts": insert(run_opts, ("number", "opts")),
    "steps": _step(),
    "activations": insert(
        activation, rows.ACTIVATION, f"ON CONFLICT (run, n) DO UPDATE SET {overwrite(rows.ACTIVATION[2:])}"
    ),
    "events": insert(run_event, rows.EVENT),
    "cleared_timers": _delete_timers(),
    "set_timers": insert(
        timer, ("run", "n", "kind", "due_at"), "ON CONFLICT (run, n, kind) DO UPDATE SET due_at = excluded.due_at"
    ),
    "freed": Statement(
        f"DELETE FROM claim WHERE run IN (SELECT * FROM {_ROWS}) RETURNING 1",  # noqa: S608
        ("BIGINT",),
    ),
}
"""By the names of `batch.Batch`."""


@lru_cache(maxsize=256)
def together(kinds: tuple[str, ...]) -> str:
    """One statement for these kinds; its one row says of each how many rows it wrote."""
    parts, first = [], 1
    for kind in kinds:
        statement = KINDS[kind]
        parts.append(f"{kind} AS ({statement.sql.replace(_ROWS, unnest(statement.types, first))})")
        first += len(statement.types)
    counts = ", ".join(f"(SELECT count(*) FROM {kind})" for kind in kinds)  # noqa: S608
    return f"WITH {', '.join(parts)} SELECT {counts}"
