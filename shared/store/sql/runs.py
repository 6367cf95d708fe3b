"""Runs as people read them: lists by key, one run whole, its events and its nodes' activations."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column, select

from shared.runs.events import RunEvent
from shared.runs.refs import RunRef, make_ref, number_of
from shared.runs.state import Activation
from shared.store import rows
from shared.store.codec import loads
from shared.store.port import FlowSummary, RunDetail, RunFilter, RunRow, StoredFlow
from shared.store.rows import AS_IS
from shared.store.sql import dialect
from shared.store.sql.flows import latest_of_all, stored_flow
from shared.store.tables import activation, flow, run, run_event, run_opts

_LISTED = (
    run.c.hub,
    run.c.number,
    run.c.flow,
    run.c.ver,
    run.c.phase,
    run.c.outcome,
    run.c.reason,
    run.c.host,
    run.c.trigger_id,
    run.c.trigger_type,
    run.c.created_at,
    run.c.started_at,
    run.c.ended_at,
)
_ACTIVATION = tuple(activation.c[name] for name in rows.ACTIVATION)
_EVENT = tuple(run_event.c[name] for name in rows.EVENT)


def _listed(row: Sequence[Any]) -> RunRow:
    return RunRow(make_ref(row[0], row[1]), *row[1:])


def is_run(ref: RunRef) -> ColumnElement[bool]:
    """The row of that name: a number under another host's name is another run, which does not exist."""
    return and_(run.c.number == number_of(ref), run.c.hub == ref.rpartition("-")[0])


def list_runs(connection: Connection, wanted: RunFilter, limit: int, before: int | None) -> Sequence[RunRow]:
    query = select(*_LISTED).order_by(run.c.number.desc()).limit(limit)
    columns = {
        "flow": run.c.flow,
        "phase": run.c.phase,
        "outcome": run.c.outcome,
        "host": run.c.host,
        "trigger": run.c.trigger_id,
    }
    for name, column in columns.items():
        if (value := getattr(wanted, name)) is not None:
            query = query.where(column == value)
    for narrower in _partial_indexes(wanted):
        query = query.where(narrower)
    if before is not None:
        query = query.where(run.c.number < before)
    return [_listed(row) for row in connection.execute(query)]


def _partial_indexes(wanted: RunFilter) -> list[ColumnElement[bool]]:
    """Conditions that follow from the filter, said so that a partial index may be used."""
    said: list[ColumnElement[bool]] = []
    if wanted.phase in {"pending", "active"}:
        said.append(run.c.phase != _literal("archive"))
    if wanted.outcome in {"bad", "cancelled"}:
        said.append(run.c.outcome != _literal("good"))
    return said


def _literal(word: str) -> ColumnElement[str]:
    return literal_column(f"'{word}'")


def one_run(connection: Connection, ref: RunRef) -> RunDetail | None:
    query = select(*_LISTED, run.c.definition, run.c.trigger_node, run.c.seq, run_opts.c.opts)
    found = connection.execute(
        query.outerjoin_from(run, run_opts, run.c.number == run_opts.c.number).where(is_run(ref))
    )
    row = found.one_or_none()
    if row is None:
        return None
    counts, latest = _nodes(connection, number_of(ref))
    *listed, definition, trigger_node, seq, opts = row
    return RunDetail(_listed(listed), definition, trigger_node, loads(opts or "{}"), seq, latest, counts)


def _nodes(connection: Connection, number: int) -> tuple[Mapping[str, int], Sequence[Activation]]:
    """How many activations each node had, and the latest of each."""
    of_run = activation.c.run == number
    groups = select(activation.c.node, func.count().label("many"), func.max(activation.c.n).label("last"))
    grouped = groups.where(of_run).group_by(activation.c.node).subquery()
    query = select(grouped.c.many, *_ACTIVATION).join(
        grouped, and_(activation.c.node == grouped.c.node, activation.c.n == grouped.c.last)
    )
    found = connection.execute(query.where(of_run).order_by(activation.c.n)).all()
    latest = [rows.activation_of(row[1:], AS_IS) for row in found]
    return {each.node: row[0] for each, row in zip(latest, found, strict=True)}, latest


def list_activations(connection: Connection, ref: RunRef, node: str) -> Sequence[Activation]:
    query = select(*_ACTIVATION).join(run, run.c.number == activation.c.run)
    found = query.where(is_run(ref), activation.c.run == number_of(ref), activation.c.node == node)
    return [rows.activation_of(row, AS_IS) for row in connection.execute(found.order_by(activation.c.n))]


def list_events(connection: Connection, ref: RunRef, after: int, limit: int) -> Sequence[RunEvent]:
    query = select(*_EVENT).join(run, run.c.number == run_event.c.run)
    found = query.where(is_run(ref), run_event.c.run == number_of(ref), run_event.c.seq > after)
    return [rows.event_of(ref, row, AS_IS) for row in connection.execute(found.order_by(run_event.c.seq).limit(limit))]


def list_flows(connection: Connection, limit: int, after: str | None, runs: int) -> Sequence[FlowSummary]:
    query = latest_of_all().limit(limit)
    if after is not None:
        query = query.where(flow.c.id > after)
    stored = [stored_flow(row) for row in connection.execute(query)]
    latest = _runs_of(connection, stored, runs) if stored and runs > 0 else {}
    return [FlowSummary(each, latest.get(each.flow.id, ())) for each in stored]


def _runs_of(connection: Connection, stored: Sequence[StoredFlow], runs: int) -> Mapping[str, Sequence[RunRow]]:
    """The last runs of flows that follow each other in order of id: a short index scan for each flow."""
    build = _last_runs_sqlite if dialect.is_sqlite(connection) else _last_runs_lateral
    between = flow.c.id.between(stored[0].flow.id, stored[-1].flow.id)
    found: dict[str, list[RunRow]] = {}
    for row in connection.execute(build(runs).where(between, flow.c.latest)):
        found.setdefault(row[2], []).append(_listed(row))
    return {name: sorted(each, key=lambda row: -row.number) for name, each in found.items()}


def _last_runs_lateral(runs: int) -> Select[Any]:
    last = select(*_LISTED).where(run.c.flow == flow.c.id).order_by(run.c.number.desc()).limit(runs).lateral()
    return select(*last.c).select_from(flow.join(last, flow.c.id == last.c.flow))


def _last_runs_sqlite(runs: int) -> Select[Any]:
    inner = run.alias()
    last = select(inner.c.number).where(inner.c.flow == flow.c.id).order_by(inner.c.number.desc()).limit(runs)
    return select(*_LISTED).select_from(flow.join(run, run.c.number.in_(last.correlate(flow).scalar_subquery())))
