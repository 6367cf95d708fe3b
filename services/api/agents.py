"""The hosts: which there are, and taking them out of service."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api import schemas, views
from services.api.contract import HostName, errors
from services.api.desk import AtDesk, Caller, Desk, answer
from services.api.paging import Cursor, Limit, from_cursor, page
from shared.bus.messages import HostDeleted
from shared.bus.port import BusUnavailable
from shared.errors import Conflict, NotFound
from shared.placement import AgentRow

router = APIRouter(prefix="/agents", tags=["agents"])
Deleted = Annotated[bool, Query(description="Deleted hosts too")]
Force = Annotated[bool, Query(description="Also while the host answers: its runs end, their tags come free at once")]


@router.get("", response_model=schemas.Page[schemas.Agent], summary="List hosts", responses=errors())
async def list_agents(desk: AtDesk, deleted: Deleted = False, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Hosts by name, with their load and when they were last seen."""
    after = from_cursor(cursor) or ""
    _, agents = await desk.store.agents()
    wanted = [agent for agent in agents if (deleted or agent.state != "deleted") and agent.host > after]
    rows = sorted(wanted, key=lambda agent: agent.host)[: limit + 1]
    return answer(page(rows, limit, lambda agent: agent.host, views.agent))


@router.post("/{host}/drain", response_model=schemas.Agent, summary="Drain a host", responses=errors(404))
async def drain(desk: AtDesk, host: HostName) -> Response:
    """It gets no more runs; what it has goes on. Twice is harmless."""
    return await _set_draining(desk, host, draining=True)


@router.post("/{host}/resume", response_model=schemas.Agent, summary="Take a host back", responses=errors(404))
async def resume(desk: AtDesk, host: HostName) -> Response:
    """It gets runs again. Twice is harmless."""
    return await _set_draining(desk, host, draining=False)


@router.delete(
    "/{host}",
    status_code=204,
    summary="Delete a host",
    response_class=Response,
    responses={204: {"description": "Deleted; one that beats again is back"}, **errors(404, 409)},
)
async def delete(desk: AtDesk, caller: Caller, host: HostName, force: Force = False) -> Response:
    """It will not return: its runs end, also those that only wait. A host that is up must be stopped first."""
    agent = await _known(desk, host)
    if agent.state == "up" and not force:
        raise Conflict(f"host {host} is up: stop its agent first, or say force (--force, ?force=true)")
    await desk.store.delete_agent(host)
    message_id = f"{host}/deleted/{secrets.token_hex(8)}"
    reason = f"host {host} deleted by {caller.user}"
    with suppress(BusUnavailable):  # the hub's sweep finds the runs of deleted hosts too
        await desk.bus.publish([HostDeleted(id=message_id, at=datetime.now(UTC), host=host, reason=reason)])
    return Response(status_code=204)


async def _set_draining(desk: Desk, host: str, *, draining: bool) -> Response:
    await _known(desk, host)
    await desk.store.set_draining(host, draining)
    return answer(views.agent(await _known(desk, host)))


async def _known(desk: Desk, host: str) -> AgentRow:
    _, agents = await desk.store.agents()
    for agent in agents:
        if agent.host == host and agent.state != "deleted":
            return agent
    raise NotFound(f"there is no host {host}")
