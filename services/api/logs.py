"""What a node printed: a piece of it, or all of it while it grows (`GET /runs/{ref}/nodes/{node}/log`)."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from services.api import acts
from services.api.contract import NodeId, RunRefPath, errors
from services.api.desk import AtDesk, Desk
from services.api.live import Taken, Watch, run_key
from shared.bus.messages import LogGrew
from shared.errors import NotFound
from shared.runs.refs import RunRef
from shared.runs.state import FINAL, Activation
from shared.store.port import StoreUnavailable

router = APIRouter(tags=["runs"])
_PIECE = 128 * 1024
"""How much of a log is in memory for a reader at a time; the server holds as much again for one that does not read."""
_MEDIA_TYPE = "text/plain; charset=utf-8"

Offset = Annotated[int, Query(ge=0, le=2**53, description="The first byte wanted")]
Tail = Annotated[
    int | None, Query(ge=1, le=2**53, description="Only so many of the last bytes; `offset` does not count")
]
Follow = Annotated[bool, Query(description="Stream until the activation is done and its output stored")]
ActivationNumber = Annotated[int | None, Query(ge=1, le=2**31, alias="activation", description="Default: the latest")]

_DESCRIBED = {
    "description": "The bytes from the offset on, as they were printed",
    "content": {"text/plain": {"schema": {"type": "string", "format": "binary"}, "example": "$ go build ./...\n"}},
    "headers": {
        "X-Floe-Activation": {
            "description": "Which doing of the node; not there when idle",
            "schema": {"type": "integer"},
        },
        "X-Floe-Offset": {"description": "The first byte sent", "schema": {"type": "integer"}},
        "X-Floe-Next-Offset": {"description": "Where to go on; not with `follow`", "schema": {"type": "integer"}},
    },
}


@router.get(
    "/runs/{ref}/nodes/{node}/log",
    response_class=Response,
    summary="Read a node's output",
    responses={200: _DESCRIBED, **errors(404)},
)
async def get_log(
    desk: AtDesk,
    ref: RunRefPath,
    node: NodeId,
    offset: Offset = 0,
    tail: Tail = None,
    follow: Follow = False,
    number: ActivationNumber = None,
) -> Response:
    """Bytes, never interpreted. With `follow` the answer ends when the activation has ended and all of it is stored;
    output that was announced and does not come within 5 s is marked by a last line."""
    run = await acts.known_run(desk, ref)
    await acts.known_node(desk, run, node)
    activation = await _activation(desk, RunRef(ref), node, number)
    if activation is None:
        return Response(b"", headers=_headers(None, 0, 0), media_type=_MEDIA_TYPE)
    log = Log(RunRef(ref), node, activation.n)
    length = await desk.store.output_length(log.run, log.n)
    start = max(0, length - tail) if tail is not None else offset
    desk.admit()
    if follow:
        return StreamingResponse(
            _follow(desk, log, start), headers=_headers(log.n, start, None), media_type=_MEDIA_TYPE
        )
    headers = _headers(log.n, start, max(start, length))
    headers["Content-Length"] = str(max(0, length - start))
    return StreamingResponse(_read_once(desk, log, start, length), headers=headers, media_type=_MEDIA_TYPE)


@dataclass(frozen=True, slots=True)
class Log:
    """Whose output."""

    run: RunRef
    node: str
    n: int


async def _activation(desk: Desk, ref: RunRef, node: str, number: int | None) -> Activation | None:
    found = await desk.store.activations(ref, node)
    if number is None:
        return found[-1] if found else None
    for activation in found:
        if activation.n == number:
            return activation
    raise NotFound(f"node {node} of run {ref} has no activation {number}")


def _headers(n: int | None, start: int, following: int | None) -> dict[str, str]:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Floe-Offset": str(start)}
    if n is not None:
        headers["X-Floe-Activation"] = str(n)
    if following is not None:
        headers["X-Floe-Next-Offset"] = str(following)
    return headers


async def _read_once(desk: Desk, log: Log, offset: int, end: int) -> AsyncIterator[bytes]:
    """Counts as a stream: a reader that does not read holds a piece for as long as it likes."""
    with desk.stream():
        async with aclosing(_read(desk, log, offset, end)) as pieces:
            async for piece in pieces:
                yield piece


async def _read(desk: Desk, log: Log, offset: int, end: int) -> AsyncGenerator[bytes, None]:
    while offset < end:
        piece = await desk.store.output(log.run, log.n, offset, min(_PIECE, end - offset))
        if not piece:
            return
        offset += len(piece)
        yield piece


async def _follow(desk: Desk, log: Log, offset: int) -> AsyncIterator[bytes]:
    with desk.stream(), desk.live.watch(run_key(log.run), capacity=200) as watch:
        async with aclosing(_grow(desk, watch, log, offset)) as pieces:
            async for piece in pieces:
                yield piece


async def _grow(desk: Desk, watch: Watch, log: Log, offset: int) -> AsyncGenerator[bytes, None]:
    """Read on whenever there is more; the activation's own end is looked up before the last reading, never after."""
    deadline: float | None = None
    activation = await _now(desk, log)
    while True:
        async with aclosing(_what_there_is(desk, log, offset)) as pieces:
            async for piece in pieces:
                offset += len(piece)
                yield piece
        if _complete(activation, offset):
            return
        if deadline is None and _ended(activation):
            deadline = time.monotonic() + desk.config.log_grace_seconds
        if deadline is not None and time.monotonic() >= deadline:
            yield _mark(activation, offset)
            return
        taken = await watch.take(0.25 if deadline is not None else desk.config.poll_seconds)
        if taken.closed:
            return
        if _worth_a_look(taken):
            with suppress(StoreUnavailable):
                activation = await _now(desk, log)


async def _what_there_is(desk: Desk, log: Log, offset: int) -> AsyncGenerator[bytes, None]:
    """All that is stored from there on; less when the store is away, then the next look brings the rest."""
    with suppress(StoreUnavailable):
        async with aclosing(_read(desk, log, offset, 2**62)) as pieces:
            async for piece in pieces:
                yield piece


def _worth_a_look(taken: Taken) -> bool:
    """Growth alone says nothing about the end; events, silence and gaps may."""
    return taken.missed or not taken.messages or any(not isinstance(m, LogGrew) for m in taken.messages)


async def _now(desk: Desk, log: Log) -> Activation:
    found = next((a for a in await desk.store.activations(log.run, log.node) if a.n == log.n), None)
    if found is None:
        raise NotFound(f"run {log.run} is not kept any more")
    return found


def _ended(activation: Activation) -> bool:
    return activation.phase in FINAL and (activation.process != "out" or activation.phase == "lost")


def _complete(activation: Activation, offset: int) -> bool:
    return _ended(activation) and offset >= (activation.log_length or 0)


def _mark(activation: Activation, offset: int) -> bytes:
    announced = activation.log_length or 0
    return f"\n[floe: the output's bytes {offset} to {announced} are not stored]\n".encode()
