"""Looking at runs and acting on them: lists, one run, its events, cancel, data."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api import acts, run_view, schemas, views
from services.api.contract import NAME, NodeId, RunRefPath, StrictJsonRoute, errors
from services.api.desk import AtDesk, Caller, Desk, answer
from services.api.paging import Cursor, Limit, number_from_cursor, page
from shared.placement import AgentState
from shared.runs.events import event_json
from shared.runs.refs import RunRef
from shared.store.port import RunDetail, RunFilter

router = APIRouter(tags=["runs"], route_class=StrictJsonRoute)
After = Annotated[int, Query(ge=0, le=2**53, description="Only events with a greater seq")]


@router.get("/runs", response_model=schemas.Page[schemas.RunItem], summary="List runs", responses=errors())
async def list_runs(
    desk: AtDesk,
    flow: Annotated[str | None, Query(max_length=64, pattern=NAME)] = None,
    phase: schemas.RunPhase | None = None,
    outcome: schemas.Outcome | None = None,
    host: Annotated[str | None, Query(max_length=64, pattern=NAME)] = None,
    trigger: Annotated[str | None, Query(max_length=300, pattern=NAME, description="A trigger's id")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Runs, newest first."""
    wanted = RunFilter(flow, phase, outcome, host, trigger)
    rows = await desk.store.runs(wanted, limit + 1, number_from_cursor(cursor))
    return answer(page(rows, limit, lambda run: run.number, views.run_item))


@router.get("/runs/{ref}", response_model=schemas.RunDetail, summary="Look at a run", responses=errors(404))
async def get_run(desk: AtDesk, ref: RunRefPath) -> Response:
    """A run with every node of its flow, those that did nothing too."""
    run = await acts.known_run(desk, ref)
    flow = await desk.definition(run.definition)
    graph = desk.graph(run.definition, flow)
    return answer(run_view.run_detail(run, flow, graph, await _host_state(desk, run)))


async def _host_state(desk: Desk, run: RunDetail) -> AgentState | None:
    if run.row.host is None or run.row.phase == "archive":
        return None
    _, agents = await desk.store.agents()
    return next((agent.state for agent in agents if agent.host == run.row.host), None)


@router.get(
    "/runs/{ref}/events",
    response_model=schemas.Page[schemas.Event],
    tags=["events"],
    summary="List a run's events",
    responses=errors(404),
)
async def list_events(
    desk: AtDesk, ref: RunRefPath, after: After = 0, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A run's events, oldest first, by seq."""
    run = await acts.known_run(desk, ref)
    start = max(after, number_from_cursor(cursor) or 0)
    events = await desk.store.events(RunRef(ref), start, limit + 1)
    row = run.row
    return answer(page(events, limit, lambda e: e.seq, lambda e: event_json(e, row.flow, row.ver)))


@router.post(
    "/runs/{ref}/cancel",
    status_code=202,
    response_model=schemas.CancelAccepted,
    summary="Cancel a run",
    responses=errors(404, 409),
)
async def cancel_run(desk: AtDesk, caller: Caller, ref: RunRefPath) -> Response:
    """Queued nodes never start, running ones are stopped, the outcome is `cancelled` (FLOWS N-09)."""
    await acts.cancel_run(desk, RunRef(ref), caller)
    return answer({"ref": ref}, 202)


@router.post(
    "/runs/{ref}/nodes/{node}/data",
    response_model=schemas.Missing,
    summary="Answer a form",
    responses=errors(400, 404, 409, 413, 415),
)
async def post_data(desk: AtDesk, caller: Caller, ref: RunRefPath, node: NodeId, body: schemas.Values) -> Response:
    """Hand values to a node that waits for data. What is still required is `missing`; the node goes on without any."""
    missing = await acts.submit_data(desk, RunRef(ref), node, body.values, caller)
    return answer({"missing": missing})
