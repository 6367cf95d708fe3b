"""What every handler works with, and how one gets hold of it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, cast

import msgspec
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from services.api import views
from services.api.auth import Principal
from services.api.config import ApiConfig
from services.api.live import Live
from services.api.problems import TooMany
from services.api.views import Json
from shared.bus.port import Bus
from shared.flows.model import Flow
from shared.flows.names import is_id
from shared.remembered import Remembered
from shared.store.port import ApiStore

_FRESH_SECONDS = 1.0


class Desk:
    """The ports, what is heard live, and snapshots that were read before (they never change)."""

    def __init__(self, config: ApiConfig, store: ApiStore, bus: Bus) -> None:
        self.config = config
        self.store = store
        self.bus = bus
        self.live = Live(bus)
        self.accepted: Remembered[str, str] = Remembered(10_000)
        """Triggers that were accepted here lately, by id, with the flow that they name or nothing."""
        self._definitions: Remembered[str, Flow] = Remembered(256)
        self._graphs: Remembered[str, Json] = Remembered(64)
        self._latest: Remembered[str, tuple[float, Flow]] = Remembered(256)
        self._streams = 0

    async def start(self) -> None:
        """Listen to what is live. Twice is harmless."""
        await self.live.start()

    async def stop(self) -> None:
        """End what waits and stop listening. Twice is harmless."""
        await self.live.stop()

    async def definition(self, definition: str) -> Flow:
        """A snapshot by hash. Raises NotFound."""
        flow = self._definitions.get(definition)
        if flow is None:
            flow = await self.store.definition(definition)
            self._definitions.put(definition, flow)
        return flow

    def graph(self, definition: str, flow: Flow) -> Json:
        """The graph of the snapshot with that hash."""
        graph = self._graphs.get(definition)
        if graph is None:
            graph = views.graph_of(flow)
            self._graphs.put(definition, graph)
        return graph

    async def flow(self, flow: str, ver: int | None = None) -> Flow | None:
        """A stored version, to check against: the latest may be as old as a second, the hub judges by its own."""
        known, now = self._latest.get(flow), asyncio.get_running_loop().time()
        if known is not None and now - known[0] < _FRESH_SECONDS and ver in (None, known[1].ver):
            return known[1]
        stored = await self.store.flow(flow, ver) if is_id(flow) else None
        if stored is not None and ver is None:
            self._latest.put(flow, (now, stored.flow))
        return stored.flow if stored is not None else None

    def forget_flow(self, flow: str) -> None:
        """It has just been stored anew."""
        self._latest.drop(flow)

    def admit(self) -> None:
        """Raises TooMany while as many waits and streams are open as may be."""
        if self._streams >= self.config.most_streams:
            raise TooMany(f"{self._streams} waits and streams are open, as many as may be: try again soon")

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count as an open wait or stream."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


async def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


async def _principal(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


AtDesk = Annotated[Desk, Depends(_desk)]
Caller = Annotated[Principal, Depends(_principal)]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; times are RFC 3339 in UTC."""
    return Response(to_json(body), status, dict(headers or {}), "application/json")


def to_json(body: Any) -> bytes:
    """Plain values as JSON."""
    return msgspec.json.encode(body)
