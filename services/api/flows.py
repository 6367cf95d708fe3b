"""Flows: what is stored, storing and checking definitions (FLOWS §1)."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from services.api import documents, schemas, views
from services.api.contract import FlowId, errors
from services.api.desk import AtDesk, Desk, answer
from services.api.paging import Cursor, Limit, from_cursor, number_from_cursor, page, unknown_cursor
from services.api.problems import FlowRefused
from shared.errors import NotFound
from shared.flows.names import is_id
from shared.store.port import RunFilter, StoredFlow

router = APIRouter(prefix="/flows", tags=["flows"])
_LAST_RUNS = 20
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Default: the latest")]
_YAML = """id: build
triggers:
  - {type: data, id: start}
tasks:
  - {id: compile, type: exec, listen: trigger.good, opts: {cmd: make}}
  - {id: done, type: end, listen: task.compile.good}
"""
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": _YAML},
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "id": "build",
                    "triggers": [{"type": "data", "id": "start"}],
                    "tasks": [
                        {"id": "compile", "type": "exec", "listen": "trigger.good", "opts": {"cmd": "make"}},
                        {"id": "done", "type": "end", "listen": "task.compile.good"},
                    ],
                },
            },
        },
    }
}


@router.get("", response_model=schemas.Page[schemas.FlowItem], summary="List flows", responses=errors())
async def list_flows(desk: AtDesk, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The latest version of every flow, by id, each with its last run."""
    after = from_cursor(cursor)
    if after is not None and not is_id(after):
        raise unknown_cursor()
    rows = await desk.store.flows(limit + 1, after)
    return answer(page(rows, limit, lambda row: row.stored.flow.id, views.flow_item))


@router.post(
    "/validate",
    response_model=schemas.Findings,
    summary="Check a definition",
    openapi_extra=_DOCUMENT,
    responses=errors(413, 415),
)
async def validate(request: Request) -> Response:
    """Every finding, fatal ones too; nothing is stored."""
    found = await documents.findings_of(request)
    return answer({"problems": [views.flow_problem(each) for each in found]})


@router.get("/{flow}", response_model=schemas.FlowDetail, summary="Look at a flow", responses=errors(404))
async def get_flow(desk: AtDesk, flow: FlowId, ver: Version = None) -> Response:
    """A version with its graph and findings, and the flow's last runs, newest first."""
    stored = await _known(desk, flow, ver)
    runs = await desk.store.runs(RunFilter(flow=flow), _LAST_RUNS)
    body = {
        "flow": views.flow_body(stored),
        "graph": views.graph_of(stored.flow),
        "problems": [views.flow_problem(found) for found in stored.problems],
        "runs": [views.run_item(run) for run in runs],
    }
    return answer(body)


@router.get(
    "/{flow}/versions",
    response_model=schemas.Page[schemas.FlowVersion],
    summary="List a flow's versions",
    responses=errors(404),
)
async def list_versions(desk: AtDesk, flow: FlowId, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """All stored versions, newest first."""
    versions = await desk.store.flow_versions(flow) if is_id(flow) else ()
    if not versions:
        raise NotFound(f"there is no flow {flow}")
    before = number_from_cursor(cursor)
    rows = [stored for stored in versions if before is None or stored.flow.ver < before]
    return answer(page(rows, limit, lambda stored: stored.flow.ver, views.flow_version))


@router.put(
    "/{flow}",
    status_code=201,
    response_model=schemas.FlowStored,
    summary="Store a flow",
    openapi_extra=_DOCUMENT,
    responses={
        200: {"model": schemas.FlowStored, "description": "Identical to a version that is stored"},
        201: {"description": "Stored"},
        **errors(413, 415),
    },
)
async def put_flow(request: Request, desk: AtDesk, flow: FlowId) -> Response:
    """Store a definition (FLOWS F-05): under its `ver`, or if another has that, under the highest + 1.

    One with fatal findings is refused: 422 with all `problems`.
    """
    document = await documents.read_one(request, flow)
    found = [views.flow_problem(each) for each in document.problems]
    if document.flow is None:
        raise FlowRefused(documents.summary(found), found)
    if document.flow.id != flow:
        detail = f"the definition is of flow {document.flow.id}; store it at /flows/{document.flow.id}"
        raise FlowRefused(detail, [documents.fatal(detail), *found])
    stored, new = await desk.store.put_flow(document.flow, source="api", problems=document.problems)
    desk.forget_flow(flow)
    body = {"id": flow, "ver": stored.flow.ver, "stored": new, "problems": found}
    location = f"{desk.config.base_url}/flows/{flow}?ver={stored.flow.ver}"
    return answer(body, 201 if new else 200, {"Location": location})


async def _known(desk: Desk, flow: str, ver: int | None) -> StoredFlow:
    stored = await desk.store.flow(flow, ver) if is_id(flow) else None
    if stored is None:
        raise NotFound(f"there is no flow {flow}" if ver is None else f"there is no flow {flow}@{ver}")
    return stored
