"""A batch of the hub on SQLite: raw statements on the writer's connection, one executemany per kind of row."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.flows.model import Flow
from shared.runs.refs import RunNumber, RunRef, number_of
from shared.store import rows
from shared.store.batch import rows_of
from shared.store.codec import to_micros
from shared.store.port import LockedRuns, RunChange, Schedule, StoreConflict, StoredRun, TriggerRow
from shared.store.rows import AS_MICROS, Row


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def _update(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


_GENERATION = "SELECT value FROM counter WHERE name = 'flow'"
_NUMBERS = "UPDATE counter SET value = max(value, ?) + ? WHERE name = 'run' RETURNING value"
_RUN = f"SELECT {', '.join(rows.RUN)} FROM run WHERE number = ?"  # noqa: S608
_OPTS = "SELECT opts FROM run_opts WHERE number = ?"
_OPEN = f"SELECT {', '.join(rows.ACTIVATION)} FROM activation WHERE run = ? AND open = 1 ORDER BY n"  # noqa: S608
_KNOWN_TRIGGER = "SELECT 1 FROM trigger_event WHERE id = ? AND state <> 'inbox'"
_DEFINITION = "INSERT INTO definition (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
_TRIGGER = (
    f"{_insert('trigger_event', rows.TRIGGER)} ON CONFLICT (id) DO UPDATE SET {_update(rows.TRIGGER[1:])}"
    " WHERE trigger_event.state = 'inbox'"
)
_NEW_RUN = _insert("run", rows.RUN)
_NEW_OPTS = _insert("run_opts", ("number", "opts"))
_STEP = f"UPDATE run SET {', '.join(f'{c} = ?' for c in rows.RUN_MOVING)} WHERE number = ? AND rev = ?"  # noqa: S608
_ACTIVATION = (
    f"{_insert('activation', rows.ACTIVATION)} ON CONFLICT (run, n) DO UPDATE SET {_update(rows.ACTIVATION[2:])}"
)
_EVENT = _insert("run_event", rows.EVENT)
_TIMER = (
    f"{_insert('timer', ('run', 'n', 'kind', 'due_at'))} ON CONFLICT (run, n, kind) DO UPDATE SET {_update(['due_at'])}"
)
_CLEAR_TIMER = "DELETE FROM timer WHERE run = ? AND n = ? AND kind = ?"
_FREE_CLAIMS = "DELETE FROM claim WHERE run = ?"
_ADVANCE = "UPDATE schedule SET next_at = ?, last_at = ? WHERE flow = ? AND node = ? AND next_at = ?"


class Numbers:
    """The highest number given out by this process, lest a rolled-back transaction gives one out again."""

    def __init__(self) -> None:
        self.highest = 0


class SqliteHubTransaction:
    """`HubTransaction` while the writer's lock is held; nothing can be locked by another."""

    def __init__(self, connection: sqlite3.Connection, numbers: Numbers) -> None:
        self.now = datetime.now(UTC)
        self._connection = connection
        self._numbers = numbers

    async def lock_runs(self, refs: Collection[RunRef], known: Mapping[RunRef, StoredRun]) -> LockedRuns:
        found: dict[RunRef, StoredRun] = {}
        for ref in refs:
            row = self._one(_RUN, (number_of(ref),))
            if row is not None and rows.ref_of(row) == ref:
                found[ref] = rows.still_known(row, known.get(ref)) or self._read(row)
        return LockedRuns(found, frozenset())

    async def known_triggers(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(each for each in ids if self._one(_KNOWN_TRIGGER, (each,)) is not None)

    async def flow_generation(self) -> int:
        row = self._one(_GENERATION, ())
        return int(row[0]) if row else 0

    async def new_numbers(self, count: int) -> Sequence[RunNumber]:
        if count == 0:
            return ()
        (last,) = self._connection.execute(_NUMBERS, (self._numbers.highest, count)).fetchone()
        self._numbers.highest = last
        return [RunNumber(number) for number in range(last - count + 1, last + 1)]

    async def save(
        self, triggers: Sequence[TriggerRow], changes: Sequence[RunChange], definitions: Mapping[str, Flow]
    ) -> None:
        many, batch = self._many, rows_of(triggers, changes, definitions, self.now, AS_MICROS)
        many(_DEFINITION, batch.definitions)
        if many(_TRIGGER, batch.triggers) != len(batch.triggers):
            raise StoreConflict("a trigger of this batch was settled by another")
        many(_NEW_RUN, batch.new_runs)
        many(_NEW_OPTS, batch.new_opts)
        if many(_STEP, batch.steps) != len(batch.steps):
            raise StoreConflict("a run of this batch was changed by another")
        many(_ACTIVATION, batch.activations)
        many(_EVENT, batch.events)
        many(_CLEAR_TIMER, batch.cleared_timers)
        many(_TIMER, batch.set_timers)
        many(_FREE_CLAIMS, batch.freed)

    async def advance_schedule(self, schedule: Schedule, next_at: datetime) -> bool:
        at = (to_micros(next_at), to_micros(self.now))
        key = (schedule.flow, schedule.trigger, to_micros(schedule.next_at))
        return self._connection.execute(_ADVANCE, (*at, *key)).rowcount == 1

    def _read(self, row: Row) -> StoredRun:
        opts = self._one(_OPTS, (row[0],))
        opened = self._connection.execute(_OPEN, (row[0],)).fetchall()
        return rows.stored_run(row, opts[0] if opts else "{}", opened, AS_MICROS)

    def _one(self, sql: str, values: Sequence[Any]) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def _many(self, sql: str, values: Sequence[Sequence[Any]]) -> int:
        """How many rows it changed. One row goes without the detour over executemany."""
        if not values:
            return 0
        if len(values) == 1:
            return self._connection.execute(sql, values[0]).rowcount
        return self._connection.executemany(sql, values).rowcount
