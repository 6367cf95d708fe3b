"""Consumers: what was delivered is taken at once, handled as one batch, and acknowledged as one.

A batch belongs to the channel that it came on. When that channel is gone the broker delivers it again, so it is
dropped here without a word; an acknowledgement never reaches another channel (RELIABILITY §2).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from aiormq import ChannelAccessRefused, ChannelNotFoundEntity
from aiormq.abc import AbstractChannel, DeliveredMessage

from shared.bus import port
from shared.bus.messages import DeadLetter
from shared.bus.port import Handler, Queue, QueueTaken, is_agents
from shared.bus.rabbitmq_link import Link, cancelled_by_us
from shared.bus.rabbitmq_read import Batch, read
from shared.bus.rabbitmq_topology import Topology
from shared.patience import pauses, set_within

log = structlog.get_logger()

_BATCH_BYTES = 16 * 1024 * 1024
_OUTPUT_PREFETCH = 64
_STOP_SECONDS = 30
_LOST_PAUSE_SECONDS = 0.1
_DELETED_PAUSE_SECONDS = 0.5
"""A quorum queue that is made again within some 50 ms of its deletion keeps consumers that get nothing (3.10)."""
Bury = Callable[[Sequence[DeadLetter]], Awaitable[None]]


class _Session:
    """What one channel has delivered and nobody has taken."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.waiting: deque[DeliveredMessage] = deque()
        self.arrived, self.ended = asyncio.Event(), asyncio.Event()
        self.cancelled = False
        channel.closing.add_done_callback(lambda _: self.end())
        channel.on_consumer_cancel_callbacks.add(lambda _: self.cancel())

    async def deliver(self, message: DeliveredMessage) -> None:
        self.waiting.append(message)
        self.arrived.set()

    def end(self) -> None:
        self.ended.set()
        self.arrived.set()

    def cancel(self) -> None:
        """The queue was deleted."""
        self.cancelled = True
        self.end()

    def take(self, queue: Queue, most: int) -> Batch:
        """Read the oldest bodies until `most` messages, or more by the last body, are there."""
        batch = Batch()
        while self.waiting and len(batch.messages) < most and batch.size < _BATCH_BYTES:
            read(self.waiting.popleft(), queue, batch)
        if not self.waiting and not self.ended.is_set():
            self.arrived.clear()
        return batch


class RabbitConsumer:
    """A Subscription that opens a channel, consumes, and does so again whenever the channel is lost."""

    def __init__(
        self,
        link: Link,
        topology: Topology,
        queue: Queue,
        handler: Handler,
        *,
        batch: int,
        bury: Bury,
        renew_seconds: float,
    ) -> None:
        self._link, self._topology, self._queue = link, topology, queue
        self._handler, self._batch, self._bury = handler, batch, bury
        self._renew_seconds = renew_seconds
        self._session: _Session | None = None
        self._stopping = asyncio.Event()
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name=f"bus {queue.name}")

    async def started(self) -> None:
        """Return when it consumes, or knows that its queue does not exist yet. Raises QueueTaken."""
        await self._first

    async def stop(self) -> None:
        """See the port. What the handler does not finish within 30 s is cancelled, and delivered again to others."""
        self._stopping.set()
        if self._session is not None:
            self._session.end()
        else:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=_STOP_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        waits = pauses()
        while not self._stopping.is_set():
            pause = next(waits)
            try:
                async with self._link.channel() as channel:
                    self._session = _Session(channel)
                    pause = await self._consume(self._session)
                    waits = pauses()
            except asyncio.CancelledError:
                if cancelled_by_us():
                    raise
            except Exception as error:
                if self._refused(error):
                    return
            finally:
                self._session = None
            if not self._stopping.is_set():
                await asyncio.sleep(pause)

    def _refused(self, error: Exception) -> bool:
        """Whether to give up: only when an agent's queue is taken and somebody still waits for the start."""
        if isinstance(error, ChannelAccessRefused) and "exclusive use" in str(error) and not self._first.done():
            self._first.set_exception(
                QueueTaken(f"{self._queue.name} is consumed already: is another agent of that name running?")
            )
            return True
        log.warning("bus.consumer_waits", queue=self._queue.name, error=f"{type(error).__name__}: {error}")
        if isinstance(error, ChannelNotFoundEntity) and not self._first.done():
            self._first.set_result(None)
        return False

    async def _consume(self, session: _Session) -> float:
        """Serve until the session ends; returns after how many seconds to begin another."""
        await self._sign_on(session)
        while await set_within(session.arrived, self._renew_seconds) or not self._queue.kept:
            if session.ended.is_set():
                return _DELETED_PAUSE_SECONDS if session.cancelled else _LOST_PAUSE_SECONDS
            await self._handle(session, session.take(self._queue, self._batch))
        return 0

    async def _sign_on(self, session: _Session) -> None:
        channel = session.channel
        name = await self._topology.prepare(channel, self._queue)
        most = _OUTPUT_PREFETCH if self._queue.name == port.LOGS.name else 2 * self._batch
        await channel.basic_qos(prefetch_count=min(most, 65_535))
        await channel.basic_consume(name, session.deliver, exclusive=is_agents(self._queue))
        log.debug("bus.consuming", queue=name)
        if not self._first.done():
            self._first.set_result(None)

    async def _handle(self, session: _Session, batch: Batch) -> None:
        if batch.last_tag and await self._handled(session, batch):
            with suppress(Exception):
                await session.channel.basic_ack(batch.last_tag, multiple=True, wait=self._stopping.is_set())

    async def _handled(self, session: _Session, batch: Batch) -> bool:
        if batch.dead and not await self._insist(session, partial(self._bury, batch.dead)):
            return False
        for start in range(0, len(batch.messages), self._batch):
            part = batch.messages[start : start + self._batch]
            if not await self._insist(session, partial(self._handler, part)):
                return False
        return True

    async def _insist(self, session: _Session, call: Callable[[], Awaitable[None]]) -> bool:
        """Call until it succeeds; False when the channel is lost or the consumer stopped between two tries."""
        for pause in pauses(0.05, 5.0):
            try:
                await call()
            except asyncio.CancelledError:
                if cancelled_by_us():
                    raise
                log.warning("bus.handler_cancelled", queue=self._queue.name)
            except Exception:
                log.warning("bus.handler_failed", queue=self._queue.name, exc_info=True)
            else:
                return True
            if await set_within(session.ended, pause):
                return False
        raise AssertionError("unreachable: the pauses have no end")
