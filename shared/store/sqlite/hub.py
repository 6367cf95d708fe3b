"""A batch of the hub on SQLite: raw statements on the writer's connection, one executemany per kind of row."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.flows.model import Flow
from shared.runs.refs import RunNumber, RunRef, number_of
from shared.store import rows
from shared.store.codec import flow_text, to_micros
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
        many, now = self._many, self.now
        many(_DEFINITION, [(key, flow_text(flow)) for key, flow in definitions.items()])
        if many(_TRIGGER, [rows.trigger_row(each, now, AS_MICROS) for each in triggers]) != len(triggers):
            raise StoreConflict("a trigger of this batch was settled by another")
        self._save_runs(changes)
        many(_ACTIVATION, [rows.activation_row(c.state.ref, a, now, AS_MICROS) for c in changes for a in c.activations])
        many(_EVENT, [rows.event_row(event, AS_MICROS) for c in changes for event in c.events])
        many(_CLEAR_TIMER, [(number_of(c.state.ref), *each) for c in changes for each in c.cleared_timers])
        timers = (timer for c in changes for timer in c.set_timers)
        many(_TIMER, [(number_of(t.run), t.n, t.kind, to_micros(t.due_at)) for t in timers])
        many(_FREE_CLAIMS, [(number_of(c.state.ref),) for c in changes if c.free_claims])

    async def advance_schedule(self, schedule: Schedule, next_at: datetime) -> bool:
        at = (to_micros(next_at), to_micros(self.now))
        key = (schedule.flow, schedule.trigger, to_micros(schedule.next_at))
        return self._connection.execute(_ADVANCE, (*at, *key)).rowcount == 1

    def _save_runs(self, changes: Sequence[RunChange]) -> None:
        new = [(c.adopted, c.state) for c in changes if c.adopted is not None]
        fixed = [rows.run_fixed(facts, state, self.now, AS_MICROS) for facts, state in new]
        moving = [rows.run_moving(state, AS_MICROS) for _, state in new]
        self._many(_NEW_RUN, [(*a, *b) for a, b in zip(fixed, moving, strict=True)])
        self._many(_NEW_OPTS, [rows.run_opts_row(facts, state) for facts, state in new])
        old = [c for c in changes if c.adopted is None]
        steps = [(*rows.run_moving(c.state, AS_MICROS), number_of(c.state.ref), c.before_rev) for c in old]
        if self._many(_STEP, steps) != len(old):
            raise StoreConflict("a run of this batch was changed by another")

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
