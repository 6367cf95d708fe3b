"""Probes, outside the prefix and without a token, and who the caller is."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter
from starlette.responses import Response

from services.api import schemas
from services.api.contract import errors, open_errors
from services.api.desk import AtDesk, Caller, answer
from shared.errors import FloeError

probes = APIRouter(tags=["health"])
router = APIRouter(tags=["administration"])
_PATIENCE_SECONDS = 2.0


@probes.get("/health/live", response_model=schemas.Health, summary="Does the process work", responses=open_errors())
async def live() -> Response:
    """Answers as long as the process does."""
    return answer({"status": "ok", "checks": {}})


@probes.get(
    "/health/ready",
    response_model=schemas.Health,
    summary="Can requests be served",
    responses={503: {"model": schemas.Health, "description": "Something that is needed does not answer"}},
)
async def ready(desk: AtDesk) -> Response:
    """Whether the store answers and live events are heard. A broker that is away is no reason: triggers are kept."""
    checks = {"store": await _check(desk.store.ping()), "live": "ok" if desk.live.listening else "not started"}
    failed = any(found != "ok" for found in checks.values())
    return answer({"status": "failed" if failed else "ok", "checks": checks}, 503 if failed else 200)


async def _check(attempt: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await attempt
    except TimeoutError:
        return f"no answer within {_PATIENCE_SECONDS:g} s"
    except FloeError as error:
        return str(error)
    return "ok"


@router.get("/me", response_model=schemas.Me, summary="Who am I", responses=errors())
async def me(caller: Caller) -> Response:
    """The user and role that the token stands for."""
    return answer({"user": caller.user, "role": caller.role, "token": caller.token})
