"""The bus on RabbitMQ: the facade over links, senders and consumers.

One connection publishes and one consumes, so that a broker which stops reading from publishers (memory alarm) does
not stop consumers. Kept messages are persistent, mandatory and confirmed; hints are none of these (ARCHITECTURE §5).
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from shared.bus.codec import Encoded, encode
from shared.bus.messages import DeadLetter, Message
from shared.bus.port import BusUnavailable, Handler, Queue
from shared.bus.rabbitmq_hints import HintSender
from shared.bus.rabbitmq_link import Link, or_unavailable
from shared.bus.rabbitmq_receive import RabbitConsumer
from shared.bus.rabbitmq_send import KeptSender
from shared.bus.rabbitmq_topology import LOGS_MAX_BYTES, Topology, host_of_key
from shared.bus.routes import Route, route
from shared.errors import InvalidInput

log = structlog.get_logger()

_HINTS_FLUSH_SECONDS = 1.0
_KEY_BYTES = 255
_REPAIR_AFTER_SECONDS = 1.0
"""Consumers of a deleted queue make it again themselves, and must first have heard of its end."""


class RabbitBus:
    """A Bus (see `port`). `name` shows in the broker's list of connections.

    `declare` off: for an agent's user, who may configure nothing (RELIABILITY §2). Its queue is waited for, and what
    it cannot read is logged instead of buried. `user_id` on: every message carries the url's user, which the broker
    verifies. `logs_max_bytes`: what `floe.logs` may hold; the same for every process of an installation.
    `renew_seconds`: after so much silence a consumer of a kept queue signs on anew, in case the broker forgot it.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        publish_timeout_seconds: float = 10,
        declare: bool = True,
        user_id: bool = False,
        logs_max_bytes: int = LOGS_MAX_BYTES,
        renew_seconds: float = 60,
    ) -> None:
        self._timeout, self._declare, self._renew_seconds = publish_timeout_seconds, declare, renew_seconds
        user = unquote(urlsplit(url).username or "guest") if user_id else None
        self._topology = Topology(name=name, declare=declare, logs_max_bytes=logs_max_bytes)
        self._out = Link(url, name=name, purpose="publish", prepare=self._topology.declare_shared)
        self._in = Link(url, name=name, purpose="consume")
        self._kept = KeptSender(user_id=user, repair=self._repair)
        self._hints = HintSender(user_id=user, returned=self._on_returned)
        self._agents: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._consumers: list[RabbitConsumer] = []
        self._closed = False

    async def start(self) -> None:
        """See the port. Twice is harmless."""
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it says of lost connections, `Link` says
        if not self._tasks:
            self._out.open()
            self._in.open()
            self._spawn(self._out.serve(self._kept.work, confirms=True))
            self._spawn(self._out.serve(self._hints.work))
        await self._hints.ready.wait()
        await self._in.connection()

    @property
    def connected(self) -> bool:
        """Whether the broker is there, as far as one can know here: for health checks."""
        return self._out.is_open and self._in.is_open

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port. Raises InvalidInput, before anything is sent, for a kept message that no body can carry."""
        if self._closed:
            raise BusUnavailable("the bus is closed")
        kept = [(way, _encode(message, way)) for message in messages if (way := route(message)).kept]
        for message in messages:
            self._offer(message)
        if kept:
            await self._kept.send(kept, self._timeout)

    async def subscribe(self, queue: Queue, handler: Handler, *, batch: int = 200) -> RabbitConsumer:
        """See the port. An agent's queue that does not exist yet is waited for in the background."""
        consumer = RabbitConsumer(
            self._in,
            self._topology,
            queue,
            handler,
            batch=batch,
            bury=self._bury,
            renew_seconds=self._renew_seconds,
        )
        try:
            await consumer.started()
        except BaseException:
            await consumer.stop()
            raise
        self._consumers.append(consumer)
        return consumer

    async def declare_agent(self, host: str) -> None:
        """See the port. Raises BusUnavailable when the broker does not answer in time."""
        if host in self._agents:
            return
        async with or_unavailable(f"the queue of agent {host} could not be declared", self._timeout):
            await self._topology.declare_agent(await self._out.connection(), host)
        self._agents.add(host)

    async def queue_depths(self) -> dict[str, int]:
        """How many messages wait in each shared queue, those being handled not counted. Raises BusUnavailable."""
        async with or_unavailable("the broker's queues are not known", self._timeout), self._out.channel() as channel:
            return await self._topology.depths(channel)

    async def close(self) -> None:
        """See the port."""
        await asyncio.gather(*[consumer.stop() for consumer in self._consumers])
        self._closed = True
        await self._hints.flush(_HINTS_FLUSH_SECONDS)
        await self._kept.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(self._out.close(), self._in.close())

    def _offer(self, message: Message) -> None:
        way = route(message)
        if way.kept:
            return
        try:
            self._hints.offer(way, _encode(message, way))
        except InvalidInput as error:
            log.error("bus.hint_dropped", error=str(error))

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            log.error("bus.dead_letter", queue=letter.queue, reason=letter.reason, letter=letter.id)
        if self._declare:
            await self.publish(letters)

    async def _repair(self) -> None:
        await asyncio.sleep(_REPAIR_AFTER_SECONDS)
        await self._topology.declare_shared(await self._out.connection())

    def _on_returned(self, key: str) -> None:
        host = host_of_key(key)
        if host in self._agents:
            self._agents.discard(host)
            self._spawn(self._declare_again(host))

    async def _declare_again(self, host: str) -> None:
        log.warning("bus.agent_queue_missing", host=host)
        try:
            await self.declare_agent(host)
        except Exception as error:
            self._agents.add(host)
            log.warning("bus.repair_failed", host=host, error=str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _encode(message: Message, way: Route) -> Encoded:
    if len(way.key.encode("utf-8", "replace")) > _KEY_BYTES:
        raise InvalidInput(f"message {message.id} cannot be sent: its routing key has more than {_KEY_BYTES} bytes")
    return encode(message)
