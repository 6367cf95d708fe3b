"""The dispatcher's part on SQLite: raw statements, since a placement lies on every run's way."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.placement import AgentRow, Assignment, PlacementView
from shared.runs.refs import RunRef, number_of
from shared.store import placement_rows as rows
from shared.store.codec import to_micros
from shared.store.rows import AS_MICROS

_PENDS = (
    f"SELECT {', '.join(rows.PEND)} FROM run"  # noqa: S608
    " WHERE phase = 'pending' AND host IS NULL ORDER BY number LIMIT ?"
)
_PAUSED = "SELECT id, paused FROM flow WHERE latest = 1 AND paused IS NOT NULL"
_AGENTS = f"SELECT {', '.join(rows.AGENT)} FROM agent ORDER BY host"  # noqa: S608
_USED = (
    "SELECT host, count(*) FROM ("
    " SELECT host FROM run WHERE out > 0 AND host IS NOT NULL UNION ALL"
    " SELECT host FROM run WHERE phase = 'pending' AND host IS NOT NULL AND out = 0) GROUP BY host"
)
_CLAIMS = (
    "SELECT c.key, c.run, r.hub, c.host, c.since FROM claim c JOIN run r ON r.number = c.run ORDER BY c.since, c.key"
)
_HELD = "SELECT 1 FROM claim WHERE key = ?"
_CLAIM = "INSERT INTO claim (key, run, host, since) VALUES (?, ?, ?, ?)"
_ASSIGN = (
    "UPDATE run SET host = ?, epoch = epoch + 1 WHERE number = ? AND hub = ? AND phase = 'pending' AND host IS NULL"
    " RETURNING epoch"
)
_AGENT = f"SELECT {', '.join(rows.AGENT)} FROM agent WHERE host = ?"  # noqa: S608
_UNFINISHED = "SELECT 1 FROM run WHERE host = ? AND out > 0 LIMIT 1"
_BEAT = (
    f"INSERT INTO agent ({', '.join(rows.AGENT)}) VALUES ({', '.join('?' * len(rows.AGENT))})"  # noqa: S608
    f" ON CONFLICT (host) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in rows.BEATEN)}"
)


def read_view(connection: sqlite3.Connection, limit: int) -> PlacementView:
    """All that decides who runs where; the caller holds a transaction."""

    def fetch(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    paused = dict(fetch(_PAUSED))
    agents = fetch(_AGENTS)
    used = dict(fetch(_USED))
    return PlacementView(
        now=datetime.now(UTC),
        pends=tuple(rows.pend_of(each, paused, AS_MICROS) for each in fetch(_PENDS, limit)),
        agents=tuple(rows.agent_of(each, used, AS_MICROS) for each in agents if each[3] != "deleted"),
        claims=tuple(rows.claim_of(each, AS_MICROS) for each in fetch(_CLAIMS)),
        ever_tags=rows.ever_tags(each[-1] for each in agents),
    )


def beat(connection: sqlite3.Connection, agents: Sequence[AgentRow]) -> Mapping[str, str]:
    """Take the beats; returns the hosts that were refused, with why."""
    now, refused = datetime.now(UTC), {}
    for agent in agents:
        old = connection.execute(_AGENT, (agent.host,)).fetchone()
        if old is not None and old[7] != agent.installation and _in_use(connection, agent.host, old[3]):
            refused[agent.host] = rows.refusal(agent)
            continue
        history = rows.with_tags(old[-1] if old is not None else "[]", agent.tags)
        connection.execute(_BEAT, rows.agent_row(agent, history, now, AS_MICROS))
    return refused


def _in_use(connection: sqlite3.Connection, host: str, state: str) -> bool:
    """Whether a name is not free for another installation: it beats, or runs of its last one still have to be lost."""
    return state in rows.BEATING or connection.execute(_UNFINISHED, (host,)).fetchone() is not None


class SqlitePlacement:
    """`PlacementTransaction` while the writer's lock is held."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def view(self, limit: int) -> PlacementView:
        return read_view(self._connection, limit)

    async def assign(self, assignments: Sequence[Assignment]) -> Mapping[RunRef, int]:
        since = to_micros(datetime.now(UTC))
        return {each.ref: epoch for each in assignments if (epoch := self._assign(each, since)) is not None}

    def _assign(self, each: Assignment, since: int | None) -> int | None:
        execute, number, hub = self._connection.execute, number_of(each.ref), each.ref.rpartition("-")[0]
        if any(execute(_HELD, (key,)).fetchone() for key in each.claims):
            return None
        found = execute(_ASSIGN, (each.host, number, hub)).fetchone()
        if found is None:
            return None
        for key in sorted(set(each.claims)):
            execute(_CLAIM, (key, number, each.host, since))
        return int(found[0])
