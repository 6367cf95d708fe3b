"""Hints on their way: transient, unconfirmed, never holding anybody up.

`offer` only puts a hint into a bounded store; one task writes what is there, all for one destination in one body.
While the connection is down or the broker has stopped reading from it, hints are dropped.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiormq
import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from shared.bus.codec import JSON_TYPE, Encoded, join
from shared.bus.rabbitmq_line import BODY_BYTES, BODY_MESSAGES
from shared.bus.routes import AGENT_KEY_PREFIX, Route

log = structlog.get_logger()

_HINTS_HELD, _BYTES_HELD = 10_000, 32 * 1024 * 1024
_RETURN_MARK = "hint"


class HintSender:
    """Publishes on whatever channel `work` was last given. `returned` gets the key of a hint to an agent without a
    queue."""

    def __init__(self, *, user_id: str | None, returned: Callable[[str], None]) -> None:
        self._user_id, self._returned = user_id, returned
        self._channel: AbstractChannel | None = None
        self._held: dict[tuple[str, str], list[Encoded]] = {}
        self._count = self._bytes = self._dropped = 0
        self._offered, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self.ready = asyncio.Event()

    async def work(self, channel: AbstractChannel) -> None:
        """Send on this channel until cancelled."""
        self._watch_returns(channel)
        self._channel = channel
        self.ready.set()
        try:
            while True:
                await self._offered.wait()
                await self._send_oldest(channel)
        finally:
            self._channel = None
            self._drop_all()

    def offer(self, way: Route, encoded: Encoded) -> None:
        """Take it or drop it."""
        full = self._count >= _HINTS_HELD or self._bytes >= _BYTES_HELD
        if full or self._channel is None or self._channel.is_closed:
            self._say_dropped(1)
            return
        self._held.setdefault((way.exchange, way.key), []).append(encoded)
        self._count += 1
        self._bytes += len(encoded.data)
        self._offered.set()
        self._idle.clear()

    async def flush(self, seconds: float) -> None:
        """Wait until all that was taken is written, or dropped, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def _send_oldest(self, channel: AbstractChannel) -> None:
        way = next(iter(self._held))
        parts = self._take(way)
        exchange, key = way
        await channel.connection.ready()
        await channel.basic_publish(
            join(parts),
            exchange=exchange,
            routing_key=key,
            properties=aiormq.spec.Basic.Properties(
                content_type=JSON_TYPE, delivery_mode=1, message_id=_RETURN_MARK, user_id=self._user_id
            ),
            mandatory=key.startswith(AGENT_KEY_PREFIX),
        )
        if not self._held:
            self._offered.clear()
            self._idle.set()
            self._say_dropped(0)

    def _take(self, way: tuple[str, str]) -> list[Encoded]:
        """The oldest of one destination, as many as fit into a body; the rest waits behind the others."""
        held = self._held.pop(way)
        size = count = 0
        for part in held[:BODY_MESSAGES]:
            size += len(part.data)
            if count and size > BODY_BYTES:
                break
            count += 1
        if held[count:]:
            self._held[way] = held[count:]
        self._count -= count
        self._bytes -= sum(len(part.data) for part in held[:count])
        return held[:count]

    def _drop_all(self) -> None:
        self._say_dropped(self._count)
        self._held.clear()
        self._count = self._bytes = 0
        self._offered.clear()
        self._idle.set()

    def _say_dropped(self, more: int) -> None:
        """One line when dropping begins and one with the sum when hints flow again."""
        if more and not self._dropped:
            log.warning("bus.hints_dropped", held=self._count)
        elif not more and self._dropped:
            log.warning("bus.hints_flow", dropped=self._dropped)
        self._dropped = self._dropped + more if more else 0

    def _watch_returns(self, channel: AbstractChannel) -> None:
        """The client tells of a return only for a message id that it expects a confirm for. There are no confirms
        here, so all hints share one id that stays expected."""
        assert isinstance(channel, aiormq.Channel)
        channel.confirmations[0] = asyncio.get_running_loop().create_future()
        channel.message_id_delivery_tag[_RETURN_MARK] = 0
        channel.on_return_callbacks.add(self._on_return)

    def _on_return(self, message: DeliveredMessage) -> None:
        self._returned(message.routing_key or "")
