"""What waits for a host, and every reason why (FLOWS D-08)."""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from services.api import schemas, views
from services.api.contract import errors
from services.api.desk import AtDesk, answer
from services.api.paging import Cursor, Limit, number_from_cursor, page
from shared.placement import explain

router = APIRouter(tags=["runs"])
_MOST_PENDS = 20_000
_QUICK = 200


@router.get("/pends", response_model=schemas.Page[schemas.Pend], summary="What waits, and why", responses=errors())
async def list_pends(desk: AtDesk, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Runs without a host, newest first, each with all reasons that hold; none: it goes at the next decision."""
    before = number_from_cursor(cursor)
    view = await desk.store.placement_view(_MOST_PENDS)
    reasons = explain(view) if len(view.pends) <= _QUICK else await asyncio.to_thread(explain, view)
    waiting = sorted(view.pends, key=lambda pend: -pend.number)
    rows = [pend for pend in waiting if before is None or pend.number < before][: limit + 1]
    return answer(page(rows, limit, lambda row: row.number, lambda row: views.pend(row, reasons.get(row.ref, ()))))
