"""The dispatcher's part on PostgreSQL, under an advisory lock that lives as long as the transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.placement import AgentRow, Assignment, PlacementView
from shared.runs.refs import RunRef, number_of
from shared.store import placement_rows as rows
from shared.store.port import StoreConflict
from shared.store.postgres.statements import overwrite, types, unnest
from shared.store.rows import AS_IS
from shared.store.tables import agent

LOCK = 0x666C6F65_01
"""Of placement; the last digits tell our advisory locks apart."""
BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})"

_PENDS = (
    f"SELECT p.*, f.paused FROM (SELECT {', '.join(rows.PEND)} FROM run"  # noqa: S608
    " WHERE phase = 'pending' AND host IS NULL ORDER BY number LIMIT $1) p"
    " LEFT JOIN flow f ON f.id = p.flow AND f.latest AND f.paused IS NOT NULL ORDER BY p.number"
)
_AGENTS = f"SELECT {', '.join(rows.AGENT)} FROM agent ORDER BY host"  # noqa: S608
_USED = (
    "SELECT host, count(*) FROM (SELECT host FROM run WHERE out > 0 AND host IS NOT NULL UNION ALL"
    " SELECT host FROM run WHERE phase = 'pending' AND host IS NOT NULL AND out = 0) AS busy GROUP BY host"
)
_CLAIMS = (
    "SELECT c.key, c.run, r.hub, c.host, c.since FROM claim c JOIN run r ON r.number = c.run ORDER BY c.since, c.key"
)
_FREE = (
    "WITH pending AS (SELECT number, hub FROM run WHERE number = ANY($1::bigint[])"
    " AND phase = 'pending' AND host IS NULL ORDER BY number FOR UPDATE SKIP LOCKED)"
    " SELECT number, hub FROM pending UNION ALL SELECT NULL, key FROM claim WHERE key = ANY($2::text[])"
)
_TAKE = (
    "WITH claims AS (INSERT INTO claim (key, run, host, since)"
    " SELECT key, run, host, now() FROM unnest($1::text[], $2::bigint[], $3::text[]) AS new (key, run, host)"
    " ORDER BY key ON CONFLICT DO NOTHING RETURNING 1),"
    " runs AS (UPDATE run SET host = new.host, epoch = epoch + 1"
    " FROM unnest($4::bigint[], $5::text[]) AS new (number, host)"
    " WHERE run.number = new.number RETURNING run.number, run.epoch)"
    " SELECT number, epoch, (SELECT count(*) FROM claims) FROM runs"
)
_KNOWN_AGENTS = (
    "SELECT now() AS now, new.host, agent.tag_sets FROM unnest($1::text[]) AS new (host)"
    " LEFT JOIN agent ON agent.host = new.host"
)
_BEAT = (
    f"INSERT INTO agent ({', '.join(rows.AGENT)}) SELECT * FROM {unnest(types(agent, rows.AGENT))}"  # noqa: S608
    f" ON CONFLICT (host) DO UPDATE SET {overwrite(rows.BEATEN)}"
    f" WHERE agent.installation = excluded.installation OR (agent.state NOT IN ('up', 'away')"
    " AND NOT EXISTS (SELECT 1 FROM run WHERE run.host = agent.host AND run.out > 0)) RETURNING host"
)


async def read_view(connection: Any, limit: int) -> PlacementView:
    """All that decides who runs where."""
    now = await connection.fetchval("SELECT now()")
    agents = await connection.fetch(_AGENTS)
    used = dict(await connection.fetch(_USED))
    claims = await connection.fetch(_CLAIMS)
    pends = await connection.fetch(_PENDS, limit)
    paused = {row["flow"]: row["paused"] for row in pends if row["paused"] is not None}
    return PlacementView(
        now=now,
        pends=tuple(rows.pend_of(row, paused, AS_IS) for row in pends),
        agents=tuple(rows.agent_of(row, used, AS_IS) for row in agents if row["state"] != "deleted"),
        claims=tuple(rows.claim_of(row, AS_IS) for row in claims),
        ever_tags=rows.ever_tags(row["tag_sets"] for row in agents),
    )


class PostgresPlacement:
    """`PlacementTransaction` on a connection that holds the lock."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def view(self, limit: int) -> PlacementView:
        return await read_view(self._connection, limit)

    async def assign(self, assignments: Sequence[Assignment]) -> Mapping[RunRef, int]:
        taken = await self._free(assignments)
        if not taken:
            return {}
        claims = [(key, number_of(each.ref), each.host) for each in taken for key in sorted(set(each.claims))]
        keys, runs, hosts = zip(*claims, strict=True) if claims else ((), (), ())
        numbers = [number_of(each.ref) for each in taken]
        found = await self._connection.fetch(_TAKE, keys, runs, hosts, numbers, [each.host for each in taken])
        if len(found) != len(taken) or found[0][2] != len(claims):
            raise StoreConflict("a claim or a pend of this batch was taken by another")
        epochs = {row[0]: row[1] for row in found}
        return {each.ref: epochs[number_of(each.ref)] for each in taken}

    async def _free(self, assignments: Sequence[Assignment]) -> Sequence[Assignment]:
        """Those that can be taken, in order: each whole or not at all, and none against another of this batch."""
        keys = {key for each in assignments for key in each.claims}
        found = await self._connection.fetch(_FREE, [number_of(each.ref) for each in assignments], sorted(keys))
        pending = {f"{row['hub']}-{row['number']}" for row in found if row["number"] is not None}
        held = {row["hub"] for row in found if row["number"] is None}
        taken = []
        for each in assignments:
            if each.ref in pending and held.isdisjoint(each.claims):
                pending.discard(each.ref)
                held.update(each.claims)
                taken.append(each)
        return taken


async def beat(connection: Any, agents: Sequence[AgentRow]) -> Mapping[str, str]:
    """Take the beats; returns the hosts that were refused, with why."""
    latest = {each.host: each for each in agents}
    hosts = sorted(latest)
    known = await connection.fetch(_KNOWN_AGENTS, hosts)
    now, histories = known[0]["now"], {row["host"]: row["tag_sets"] or "[]" for row in known}
    beats = [
        rows.agent_row(each, rows.with_tags(histories[host], each.tags), now, AS_IS)
        for host, each in sorted(latest.items())
    ]
    taken = {row["host"] for row in await connection.fetch(_BEAT, *zip(*beats, strict=True))}
    return {host: rows.refusal(latest[host]) for host in hosts if host not in taken}
