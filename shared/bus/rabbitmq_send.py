"""Kept messages on their way: batched by destination, confirmed by the broker, sent again until somebody gives up.

An idle sender sends at once; while two bodies for one destination are unconfirmed the rest gathers into the next
(PERFORMANCE rule 2). What a lost connection leaves unconfirmed goes back to the front of its line.
"""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Sequence

import aiormq
import structlog
from aiormq.abc import AbstractChannel

from shared.bus.codec import CHUNK_TYPE, JSON_TYPE, Encoded, join
from shared.bus.port import BusUnavailable
from shared.bus.rabbitmq_line import Line, Parcel, Ticket
from shared.bus.rabbitmq_link import cancelled_by_us
from shared.bus.routes import Route

log = structlog.get_logger()

_UNCONFIRMED, _UNCONFIRMED_PER_WAY, _UNCONFIRMED_OUTPUT_PER_WAY = 100, 2, 8

_CLOSE_SECONDS = 3


class KeptSender:
    """Publishes on whatever channel `work` was last given. `repair` is called when a message proves unroutable."""

    def __init__(self, *, user_id: str | None, repair: Callable[[], Awaitable[None]]) -> None:
        self._user_id, self._repair = user_id, repair
        self._channel: AbstractChannel | None = None
        self._lines: dict[tuple[str, str], Line] = {}
        self._numbers = itertools.count()
        self._attempt, self._attempts = uuid.uuid4().hex[:16], itertools.count()
        self._tickets: set[Ticket] = set()
        self._sending: set[asyncio.Task[None]] = set()

    async def work(self, channel: AbstractChannel) -> None:
        """Send on this channel until cancelled."""
        self._channel = channel
        try:
            self._send_all()
            await asyncio.Future()
        finally:
            self._channel = None

    async def send(self, messages: Sequence[tuple[Route, Encoded]], timeout_seconds: float) -> None:
        """Return when all are confirmed. Raises BusUnavailable when that takes too long."""
        ticket = Ticket(asyncio.get_running_loop().create_future(), open=len(messages))
        for way, encoded in messages:
            line = self._lines.setdefault((way.exchange, way.key), Line(way))
            line.waiting.append(Parcel(next(self._numbers), encoded, ticket))
        self._tickets.add(ticket)
        self._send_all()
        try:
            async with asyncio.timeout(timeout_seconds):
                await ticket.done
        except TimeoutError as error:
            raise BusUnavailable(f"not confirmed within {timeout_seconds:g} s: {ticket.trouble}") from error
        finally:
            self._tickets.discard(ticket)
            if ticket.open:
                self._forget(ticket)

    async def close(self) -> None:
        """Wait some seconds for what is on its way, then let the others fail."""
        if self._tickets:
            await asyncio.wait([ticket.done for ticket in self._tickets], timeout=_CLOSE_SECONDS)
        for ticket in self._tickets:
            ticket.fail(BusUnavailable(f"the bus was closed before it was confirmed: {ticket.trouble}"))
        for task in self._sending:
            task.cancel()

    def _forget(self, ticket: Ticket) -> None:
        ticket.done.cancel()
        for line in self._lines.values():
            line.forget(ticket)

    def _send_all(self) -> None:
        for key, line in list(self._lines.items()):
            self._send_line(line)
            if not line.waiting and not line.unconfirmed:
                del self._lines[key]

    def _send_line(self, line: Line) -> None:
        while line.waiting and len(self._sending) < _UNCONFIRMED:
            if self._channel is None or self._channel.is_closed:
                return
            alone = line.waiting[0].encoded.alone
            if line.unconfirmed >= (_UNCONFIRMED_OUTPUT_PER_WAY if alone else _UNCONFIRMED_PER_WAY):
                return
            parcels = line.take()
            if parcels:
                line.unconfirmed += 1
                task = asyncio.create_task(self._send(self._channel, line, parcels))
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)

    async def _send(self, channel: AbstractChannel, line: Line, parcels: list[Parcel]) -> None:
        trouble = ""
        try:
            trouble = await self._publish(channel, line.way, parcels)
        except aiormq.PublishError:
            trouble = f"no queue is bound to {line.way.exchange} for {line.way.key}"
            await self._after_unroutable(line.way)
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            trouble = "the connection was lost"
        except Exception as error:
            trouble = f"{type(error).__name__}: {error}"
        finally:
            line.unconfirmed -= 1
        if trouble:
            for parcel in parcels:
                parcel.ticket.trouble = trouble
            line.put_back(parcels)
        asyncio.get_running_loop().call_soon(self._send_all)

    async def _publish(self, channel: AbstractChannel, way: Route, parcels: list[Parcel]) -> str:
        first = parcels[0].encoded
        properties = aiormq.spec.Basic.Properties(
            content_type=CHUNK_TYPE if first.alone else JSON_TYPE,
            delivery_mode=2,
            message_id=f"{self._attempt}-{next(self._attempts)}",
            headers={"floe-id": first.id},
            user_id=self._user_id,
        )
        try:
            await channel.basic_publish(
                join([parcel.encoded for parcel in parcels]),
                exchange=way.exchange,
                routing_key=way.key,
                properties=properties,
                mandatory=True,
            )
        except aiormq.PublishError:
            raise
        except aiormq.DeliveryError:
            refusal = BusUnavailable(f"the broker refuses {way.key} on {way.exchange}: its queue is full")
            for parcel in parcels:
                parcel.ticket.fail(refusal)
            return ""
        for parcel in parcels:
            parcel.ticket.confirm()
        return ""

    async def _after_unroutable(self, way: Route) -> None:
        log.warning("bus.unroutable", exchange=way.exchange, key=way.key)
        try:
            await self._repair()
        except Exception as error:
            log.warning("bus.repair_failed", error=str(error))
