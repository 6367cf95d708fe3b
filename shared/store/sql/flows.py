"""Flows and their versions (FLOWS F-05). Every change raises the generation, by which hubs know to read them again.

`armed`, `source` and `paused` belong to a flow, not to a version: all of its rows carry the same.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, select, update

from shared.errors import NotFound
from shared.flows.model import Flow, definition_hash, version_to_store
from shared.store.codec import clean_or_none, dumps, flow_of, flow_text, loads
from shared.store.port import StoredFlow
from shared.store.sql import dialect
from shared.store.tables import counter, definition, flow

_COLUMNS = (flow.c.body, flow.c.stored_at, flow.c.source, flow.c.armed, flow.c.paused, flow.c.problems)


def stored_flow(row: Sequence[Any]) -> StoredFlow:
    """From a row that starts with the columns of `latest_of_all`."""
    body, stored_at, source, armed, paused, problems = row[:6]
    return StoredFlow(flow_of(body), stored_at, source, armed, paused, loads(problems))


def latest_of_all() -> Select[Any]:
    """The latest version of every flow, in order of id."""
    return select(*_COLUMNS).where(flow.c.latest).order_by(flow.c.id)


def put_flow(
    connection: Connection, wanted: Flow, source: str, problems: Sequence[Mapping[str, Any]]
) -> tuple[StoredFlow, bool]:
    raise_generation(connection)  # first, as a lock: versions are given out one after another
    kept = connection.execute(select(flow.c.ver, flow.c.hash, flow.c.paused).where(flow.c.id == wanted.id)).all()
    ver, new = version_to_store(wanted, {row.ver: row.hash for row in kept})
    if new:
        _insert(connection, replace(wanted, ver=ver), max((row.ver for row in kept), default=0), problems)
    paused = kept[0].paused if kept else None
    of_this = flow.c.id == wanted.id
    connection.execute(update(flow).where(of_this).values(armed=True, source=source, paused=paused))
    connection.execute(update(flow).where(of_this, flow.c.ver == ver).values(problems=dumps(problems)))
    row = connection.execute(select(*_COLUMNS).where(of_this, flow.c.ver == ver)).one()
    return stored_flow(row), new


def _insert(connection: Connection, new: Flow, highest: int, problems: Sequence[Mapping[str, Any]]) -> None:
    latest = new.ver > highest
    if latest:
        connection.execute(update(flow).where(flow.c.id == new.id, flow.c.latest).values(latest=False))
    row = {
        "id": new.id,
        "ver": new.ver,
        "latest": latest,
        "armed": True,
        "source": "",
        "hash": definition_hash(new),
        "stored_at": dialect.now(connection),
        "problems": dumps(problems),
        "body": flow_text(new),
    }
    connection.execute(flow.insert().values(row))


def disarm_flows(connection: Connection, source: str, keep: Collection[str]) -> Sequence[str]:
    raise_generation(connection)
    mine = select(flow.c.id).where(flow.c.source == source, flow.c.latest, flow.c.armed).order_by(flow.c.id)
    gone = [each for each in connection.scalars(mine) if each not in set(keep)]
    for each in gone:
        connection.execute(update(flow).where(flow.c.id == each).values(armed=False))
    return gone


def pause_flow(connection: Connection, flow_id: str, why: str | None) -> None:
    raise_generation(connection)
    done = connection.execute(update(flow).where(flow.c.id == flow_id).values(paused=clean_or_none(why)))
    if done.rowcount == 0:
        raise NotFound(f"flow {flow_id} is not known")


def raise_generation(connection: Connection) -> None:
    connection.execute(update(counter).where(counter.c.name == "flow").values(value=counter.c.value + 1))


def latest_flows(connection: Connection, known: int) -> tuple[int, Sequence[StoredFlow]]:
    generation = connection.scalar(select(counter.c.value).where(counter.c.name == "flow")) or 0
    if generation == known:
        return generation, []
    return generation, [stored_flow(row) for row in connection.execute(latest_of_all().where(flow.c.armed))]


def one_flow(connection: Connection, flow_id: str, ver: int | None) -> StoredFlow | None:
    which = flow.c.latest if ver is None else flow.c.ver == ver
    row = connection.execute(select(*_COLUMNS).where(flow.c.id == flow_id, which)).one_or_none()
    return None if row is None else stored_flow(row)


def flow_versions(connection: Connection, flow_id: str) -> Sequence[StoredFlow]:
    found = select(*_COLUMNS).where(flow.c.id == flow_id).order_by(flow.c.ver.desc())
    return [stored_flow(row) for row in connection.execute(found)]


def one_definition(connection: Connection, key: str) -> Flow:
    body = connection.scalar(select(definition.c.body).where(definition.c.hash == key))
    if body is None:
        raise NotFound(f"definition {key} is not stored")
    return flow_of(body)
