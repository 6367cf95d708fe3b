"""Hosts, pends and claims as rows, and back."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from shared.placement import AgentRow, ClaimRow, PendRow
from shared.runs.refs import make_ref
from shared.store.codec import clean, dumps, loads, tags_of, tags_text
from shared.store.rows import Row, Times
from shared.store.tables import agent

TAG_SETS_KEPT = 20

AGENT = tuple(agent.columns.keys())
BEATEN = tuple(column for column in AGENT if column not in {"host", "draining"})
"""What a beat overwrites."""
BEATING = frozenset({"up", "away"})
"""A host in these states keeps its name against another installation."""
PEND = ("number", "hub", "flow", "created_at", "host_tags", "resource_tags", "reuse_space")


def agent_row(agent: AgentRow, tag_sets: str, now: datetime, times: Times) -> tuple[Any, ...]:
    """A host that has just beaten: seen now, and up unless it says that it leaves (for good, or to come back)."""
    return (
        agent.host,
        tags_text(agent.tags),
        agent.slots,
        agent.state if agent.state in ("left", "away") else "up",
        agent.draining,
        agent.running,
        clean(agent.version),
        agent.installation,
        agent.incarnation,
        agent.ephemeral,
        times.into(now),
        agent.disk_free_bytes,
        tag_sets,
    )


def agent_of(row: Row, used: Mapping[str, int], times: Times) -> AgentRow:
    return AgentRow(
        host=row[0],
        tags=tags_of(row[1]),
        slots=row[2],
        state=row[3],
        draining=bool(row[4]),
        used=used.get(row[0], 0),
        running=row[5],
        version=row[6],
        installation=row[7],
        incarnation=row[8],
        ephemeral=bool(row[9]),
        last_seen_at=times.out_of(row[10]),
        disk_free_bytes=row[11],
    )


def with_tags(tag_sets: str, tags: tuple[str, ...]) -> str:
    """The history with this set as its latest; the oldest go."""
    mine = sorted(set(tags))
    others = [each for each in loads(tag_sets) if each != mine]
    return dumps([*others, mine][-TAG_SETS_KEPT:])


def ever_tags(histories: Iterable[str]) -> tuple[frozenset[str], ...]:
    """Every distinct set in these histories."""
    found = {frozenset(each) for history in set(histories) for each in loads(history)}
    return tuple(sorted(found, key=sorted))


def pend_of(row: Row, paused: Mapping[str, str], times: Times) -> PendRow:
    return PendRow(
        ref=make_ref(row[1], row[0]),
        number=row[0],
        flow=row[2],
        since=cast(datetime, times.out_of(row[3])),
        host_tags=tags_of(row[4]),
        resource_tags=tags_of(row[5]),
        reuse_space=bool(row[6]),
        paused=paused.get(row[2]),
    )


def claim_of(row: Row, times: Times) -> ClaimRow:
    """From `(key, number, hub, host, since)`."""
    return ClaimRow(row[0], make_ref(row[2], row[1]), row[3], cast(datetime, times.out_of(row[4])))


def refusal(agent: AgentRow) -> str:
    """Why a beat was not taken."""
    return (
        f"host {agent.host} is another installation's, which beats or whose runs are not ended yet: choose another name"
    )
