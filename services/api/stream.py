"""Events as they happen: `GET /events`, server-sent events (WHATWG HTML §9.2).

A run's stream can be resumed without a gap or a repetition: it listens first, then reads the store, then passes on
what is live; wherever live events leave a hole in `seq`, the store is read again.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from services.api import acts
from services.api.contract import errors
from services.api.desk import AtDesk, Desk, to_json
from services.api.live import EVERYTHING, Key, Watch, flow_key, run_key
from services.api.problems import BadRequest
from shared.bus.messages import Message, RunEvents
from shared.runs.events import event_json
from shared.store.port import RunDetail, StoreUnavailable

router = APIRouter(tags=["events"])
_PAGE = 500
_LAST = "sys.end.all"
_PING = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
Event = Mapping[str, Any]

_DESCRIBED = {
    "description": "Each message's `id` is the event's seq, its `data` the event as JSON",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: 4\ndata: {"id":"h1-42/4","seq":4,"run":"h1-42","tag":"trigger.good"}\n\n',
        }
    },
}


@router.get(
    "/events",
    response_class=Response,
    summary="Follow events live",
    responses={200: _DESCRIBED, 204: {"description": "The run's last event is known already"}, **errors(400, 404)},
)
async def follow_events(
    desk: AtDesk,
    run: Annotated[str | None, Query(max_length=100, description="One run, from its first event on")] = None,
    flow: Annotated[str | None, Query(max_length=64, description="All runs of a flow, from now on")] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID", description="Resume a run's stream after it")] = None,
    after: Annotated[int, Query(ge=0, le=2**53, description="The same, where a header cannot be sent")] = 0,
) -> Response:
    """Server-sent events. A run's stream begins with its first event and ends after its last; without `run` events
    come from now on, and what is lost on the way is not sent again."""
    desk.admit()
    if run is None:
        return _event_stream(_from_now_on(desk, EVERYTHING if flow is None else flow_key(flow)))
    known = await acts.known_run(desk, run)
    seq = _seq(last) if last else after
    if known.row.phase == "archive" and seq >= known.seq > 0:
        return Response(status_code=204)
    return _event_stream(_of_run(desk, known, seq))


def _event_stream(body: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(body, headers=_HEADERS, media_type="text/event-stream")


def _seq(last: str) -> int:
    if not last.isdecimal() or len(last) > 15:
        raise BadRequest("Last-Event-ID: send the last id of this stream, a number")
    return int(last)


async def _of_run(desk: Desk, run: RunDetail, seq: int) -> AsyncIterator[bytes]:
    with desk.stream(), desk.live.watch(run_key(run.row.ref)) as watch:
        async with aclosing(_in_order(desk, watch, run, seq)) as events:
            async for event in events:
                yield _message(event) if event else _PING


async def _in_order(desk: Desk, watch: Watch, run: RunDetail, seq: int) -> AsyncGenerator[Event, None]:
    """Every event after `seq`, each once, to the last one; an empty one when it was quiet for a while."""
    silence, hole = desk.config.poll_seconds, True
    while True:
        if hole:
            async with aclosing(_stored(desk, run, seq)) as events:
                async for event in events:
                    seq = event["seq"]
                    yield event
                    if event["tag"] == _LAST:
                        return
        taken = await watch.take(silence)
        if taken.closed:
            return
        fitting = _next(taken.messages, seq)
        hole = taken.missed or fitting.hole or not taken.messages
        for event in fitting.events:
            seq = event["seq"]
            yield event
        if fitting.last:
            return
        silence = min(silence * 2, desk.config.keep_alive_seconds) if not taken.messages else desk.config.poll_seconds
        if not taken.messages:
            yield {}


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Live events that follow what was sent. `hole`: others came that do not; `last`: the run has ended with them."""

    events: Sequence[Event]
    hole: bool
    last: bool


def _next(messages: Iterable[Message], seq: int) -> _Fitting:
    fitting: list[Event] = []
    for event in _live(messages):
        if event["seq"] > seq + 1:
            return _Fitting(fitting, True, False)
        if event["seq"] == seq + 1:
            seq += 1
            fitting.append(event)
    return _Fitting(fitting, False, bool(fitting) and fitting[-1]["tag"] == _LAST)


async def _stored(desk: Desk, run: RunDetail, seq: int) -> AsyncGenerator[Event, None]:
    """What the store has after `seq`; less when it is away, then the next look brings the rest."""
    while True:
        try:
            found = await desk.store.events(run.row.ref, seq, _PAGE)
        except StoreUnavailable:
            return
        for event in found:
            yield event_json(event, run.row.flow, run.row.ver)
        if len(found) < _PAGE:
            return
        seq = found[-1].seq


def _live(messages: Iterable[Message]) -> Iterator[Event]:
    for message in messages:
        if isinstance(message, RunEvents):
            yield from message.events


async def _from_now_on(desk: Desk, key: Key) -> AsyncIterator[bytes]:
    with desk.stream(), desk.live.watch(key) as watch:
        yield _PING
        while True:
            taken = await watch.take(desk.config.keep_alive_seconds)
            if taken.closed:
                return
            if taken.missed:
                yield b": some events were missed\n\n"
            if not taken.messages:
                yield _PING
            for event in _live(taken.messages):
                yield b"data: " + to_json(event) + b"\n\n"


def _message(event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event["seq"], to_json(event))
