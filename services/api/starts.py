"""Starting runs, and what triggers led to: `POST /flows/{id}/runs`, `/triggers`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from services.api import intake, schemas, views, waits
from services.api.contract import NAME, FlowId, StrictJsonRoute, errors
from services.api.desk import AtDesk, Caller, Desk, answer
from services.api.live import Watch, trigger_key
from services.api.views import Json
from services.api.waits import Followed, Goal, Gone
from shared.bus.messages import TriggerReceived
from shared.errors import NotFound
from shared.store.port import RunFilter

router = APIRouter(tags=["runs"], route_class=StrictJsonRoute)
_MOST_RUNS = 1000

Wait = Annotated[
    Literal["adopted", "ended"] | None,
    Query(description="Answer once the run is stored (`adopted`), or has ended with its output stored (`ended`)"),
]
Timeout = Annotated[float | None, Query(gt=0, le=86400, description="Seconds to wait at most; then the answer is 202")]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Per token and flow, for 24 h: the same key starts nothing again"),
]


@router.post(
    "/flows/{flow}/runs",
    status_code=202,
    response_model=schemas.Started,
    summary="Start a run",
    responses={
        200: {"model": schemas.Started, "description": "What was waited for came, or the trigger makes no run"},
        202: {"description": "Accepted and kept; the run will be made"},
        **errors(400, 404, 409, 413, 415),
    },
)
async def start_run(
    request: Request,
    desk: AtDesk,
    caller: Caller,
    flow: FlowId,
    body: schemas.StartRun,
    wait: Wait = None,
    timeout: Timeout = None,  # noqa: ASYNC109 - a promise of the contract, and no error when it is over
    key: IdempotencyKey = None,
) -> Response:
    """Start a run of a flow that has a data trigger.

    The values are checked against the trigger's form first. After 202 the run will be made, whatever fails meanwhile.
    """
    order = intake.Order(flow, body.opts, body.ver, body.trigger)
    await intake.check(desk, order)
    trigger_id, repeated = intake.new_trigger_id(), False
    if key is not None:
        trigger_id, repeated = await intake.id_for_key(desk, key, order, caller)
    trigger = intake.received(order, trigger_id, caller)
    if wait is None:
        return await _start(desk, trigger, repeated)
    desk.admit()
    with desk.stream(), desk.live.watch(trigger_key(trigger_id)) as watch:
        patience = min(timeout or desk.config.wait_default_seconds, desk.config.wait_most_seconds)
        waiting = _Waiting(watch, wait, patience, request.is_disconnected)
        return await _start_and_wait(desk, trigger, waiting, repeated)


async def _start(desk: Desk, trigger: TriggerReceived, repeated: bool) -> Response:
    followed = Followed(trigger.id)
    if repeated:
        await waits.look_up(desk, followed)
    if not followed.settled:
        await intake.take_in(desk, trigger)
    return answer({"trigger_id": trigger.id, "runs": list(followed.runs.values())}, 202)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How somebody waits: hearing what, for what, how long, and whether they are still there."""

    watch: Watch
    goal: Goal
    seconds: float
    gone: Gone


async def _start_and_wait(desk: Desk, trigger: TriggerReceived, how: _Waiting, repeated: bool) -> Response:
    followed = Followed(trigger.id)
    if repeated:
        followed.forget_logs()
        await waits.look_up(desk, followed)
    if not followed.settled:
        await intake.take_in(desk, trigger)
    reached = await waits.follow(desk, how.watch, followed, how.goal, how.seconds, how.gone)
    gaps = await waits.settle_logs(desk, how.watch, followed) if reached and how.goal == "ended" else ()
    body: Json = {"trigger_id": trigger.id, "runs": [run for run in followed.runs.values() if run]}
    if followed.why is not None and not followed.runs:
        body["why"] = followed.why
    if gaps:
        body["log_gaps"] = gaps
    return answer(body, 200 if reached else 202)


@router.post(
    "/triggers/data",
    status_code=202,
    response_model=schemas.TriggerAccepted,
    tags=["triggers"],
    summary="Send a data trigger",
    responses=errors(400, 404, 409, 413, 415),
)
async def post_trigger(desk: AtDesk, caller: Caller, body: schemas.TriggerData) -> Response:
    """Send options to one flow, or with `broadcast` to every flow that has a data trigger (FLOWS T-02)."""
    order = intake.Order(body.flow, body.opts, body.ver, body.trigger, body.broadcast)
    await intake.check(desk, order)
    trigger_id = intake.new_trigger_id()
    await intake.take_in(desk, intake.received(order, trigger_id, caller))
    return answer({"trigger_id": trigger_id}, 202)


@router.get(
    "/triggers/{trigger_id:path}",
    response_model=schemas.TriggerDetail,
    tags=["triggers"],
    summary="What became of a trigger",
    responses=errors(404),
)
async def get_trigger(desk: AtDesk, trigger_id: Annotated[str, Path(max_length=300, pattern=NAME)]) -> Response:
    """The verdict of each flow, and the runs that were made."""
    row = await desk.store.trigger(trigger_id)
    if row is not None:
        runs = await desk.store.runs(RunFilter(trigger=trigger_id), _MOST_RUNS) if row.runs else ()
        return answer(views.trigger(row, runs))
    flow = desk.accepted.get(trigger_id)
    if flow is None:
        raise NotFound(f"there is no trigger {trigger_id[:80]}, or no hub has seen it yet")
    return answer(views.accepted_trigger(trigger_id, flow))
