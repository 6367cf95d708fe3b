"""A batch of the hub on PostgreSQL: each call is one round trip or two, whatever the number of rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from shared.flows.model import Flow
from shared.runs.refs import RunNumber, RunRef, number_of
from shared.store import rows
from shared.store.batch import Batch, rows_of
from shared.store.port import LockedRuns, RunChange, Schedule, StoreConflict, StoredRun, TriggerRow
from shared.store.postgres.statements import together
from shared.store.rows import AS_IS, Row

NOW = "SELECT now(), (SELECT value FROM counter WHERE name = 'flow')"
_LOCK = (
    f"SELECT {', '.join(rows.RUN)} FROM run WHERE number = ANY($1::bigint[])"  # noqa: S608
    " ORDER BY number FOR UPDATE SKIP LOCKED"
)
_HELD = "SELECT number, hub FROM run WHERE number = ANY($1::bigint[])"
_OPTS = "SELECT number, opts FROM run_opts WHERE number = ANY($1::bigint[])"
_OPEN = (
    f"SELECT {', '.join(rows.ACTIVATION)} FROM activation"  # noqa: S608
    " WHERE run = ANY($1::bigint[]) AND open ORDER BY run, n"
)
_KNOWN_TRIGGERS = "SELECT id, state FROM trigger_event WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
_NUMBERS = "SELECT nextval('run_number') FROM generate_series(1, $1)"
_ADVANCE = "UPDATE schedule SET next_at = $1, last_at = $2 WHERE flow = $3 AND node = $4 AND next_at = $5 RETURNING 1"
_KINDS = tuple(field.name for field in fields(Batch))
_ALL_OR_NOTHING = {
    "triggers": "a trigger of this batch was settled by another",
    "steps": "a run of this batch was changed by another",
}


class PostgresHubTransaction:
    """`HubTransaction` on a connection that is in a transaction."""

    def __init__(self, connection: Any, now: datetime, generation: int) -> None:
        self.now = now
        self._connection = connection
        self._generation = generation

    async def lock_runs(self, refs: Collection[RunRef], known: Mapping[RunRef, StoredRun]) -> LockedRuns:
        if not refs:
            return LockedRuns({}, frozenset())
        found = await self._connection.fetch(_LOCK, sorted({number_of(ref) for ref in refs}))
        locked = {ref: row for row in found if (ref := rows.ref_of(row)) in refs}
        runs = {ref: run for ref, row in locked.items() if (run := rows.still_known(row, known.get(ref))) is not None}
        runs.update(await self._read({ref: row for ref, row in locked.items() if ref not in runs}))
        return LockedRuns(runs, await self._held([ref for ref in refs if ref not in runs]))

    async def known_triggers(self, ids: Collection[str]) -> frozenset[str]:
        if not ids:
            return frozenset()
        found = await self._connection.fetch(_KNOWN_TRIGGERS, sorted(set(ids)))
        return frozenset(row["id"] for row in found if row["state"] != "inbox")

    async def flow_generation(self) -> int:
        return self._generation

    async def new_numbers(self, count: int) -> Sequence[RunNumber]:
        if count == 0:
            return ()
        return sorted(RunNumber(row[0]) for row in await self._connection.fetch(_NUMBERS, count))

    async def save(
        self, triggers: Sequence[TriggerRow], changes: Sequence[RunChange], definitions: Mapping[str, Flow]
    ) -> None:
        batch = rows_of(triggers, changes, definitions, self.now, AS_IS)
        kinds = tuple(kind for kind in _KINDS if getattr(batch, kind))
        if not kinds:
            return
        columns = [column for kind in kinds for column in zip(*getattr(batch, kind), strict=True)]
        counts = await self._connection.fetchrow(together(kinds), *columns)
        for kind, count in zip(kinds, counts, strict=True):
            if kind in _ALL_OR_NOTHING and count != len(getattr(batch, kind)):
                raise StoreConflict(_ALL_OR_NOTHING[kind])

    async def advance_schedule(self, schedule: Schedule, next_at: datetime) -> bool:
        key = (schedule.flow, schedule.trigger, schedule.next_at)
        return await self._connection.fetchval(_ADVANCE, next_at, self.now, *key) is not None

    async def _read(self, locked: Mapping[RunRef, Row]) -> dict[RunRef, StoredRun]:
        """Runs with their opts and open activations."""
        if not locked:
            return {}
        numbers = [row[0] for row in locked.values()]
        opts = dict(await self._connection.fetch(_OPTS, numbers))
        opened = rows.by_run(await self._connection.fetch(_OPEN, numbers))
        return {
            ref: rows.stored_run(row, opts.get(row[0], "{}"), opened.get(row[0], ()), AS_IS)
            for ref, row in locked.items()
        }

    async def _held(self, missing: Sequence[RunRef]) -> frozenset[RunRef]:
        """Those of the refs that exist: another transaction has locked them."""
        if not missing:
            return frozenset()
        found = await self._connection.fetch(_HELD, [number_of(ref) for ref in missing])
        names = {row["number"]: row["hub"] for row in found}
        return frozenset(ref for ref in missing if names.get(number_of(ref)) == ref.rpartition("-")[0])
