"""The bus within one process: queues of the messages themselves, nothing encoded, nothing copied.

A kept publish returns when its messages are handled, so a 202 keeps its promise without a broker (ARCHITECTURE §5).
Hints wait in bounded queues and are dropped when one is full or when nobody listens.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from shared.bus.memory_queue import Consumer, Entry, Receipt, Waiting
from shared.bus.messages import DeadLetter, Message
from shared.bus.port import DEAD, BusUnavailable, Handler, Queue, QueueTaken, is_agents
from shared.bus.routes import queue_of, route

log = structlog.get_logger()


class MemoryBus:
    """A Bus (see `port`). Dead letters wait for a consumer without holding their publisher, the last 1,000 of them.

    `retries`: how often a handler that raises gets the same batch again, after 50 ms, doubling; then its kept
    messages fail for their publishers with BusUnavailable, and its hints are dropped.
    """

    def __init__(self, *, publish_timeout_seconds: float = 30, hints_per_queue: int = 10_000, retries: int = 5) -> None:
        self._timeout = publish_timeout_seconds
        self._hints_per_queue = hints_per_queue
        self._retries = retries
        self._shared: dict[str, Waiting] = {}
        self._copies: dict[str, list[Waiting]] = {}
        self._consumers: list[Consumer] = []
        self._dead: deque[Entry] = deque(maxlen=1_000)
        self._closing = self._closed = False

    async def start(self) -> None:
        """Nothing to connect to."""

    @property
    def connected(self) -> bool:
        """For health checks."""
        return not self._closed

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port. Kept messages for one queue that are published at the same time share a handler's batch."""
        if self._closed:
            raise BusUnavailable("the bus is closed")
        receipt = Receipt()
        for message in messages:
            self._place(message, receipt)
        if receipt.open:
            await self._settled(receipt)

    async def subscribe(self, queue: Queue, handler: Handler, *, batch: int = 200) -> "Consumer":
        """See the port."""
        waiting = self._open(queue)
        consumer = Consumer(waiting, handler, batch, self._retries, self._leave)
        waiting.consumers += 1
        self._consumers.append(consumer)
        return consumer

    async def declare_agent(self, host: str) -> None:
        """Queues are made as they are needed."""

    async def close(self) -> None:
        """See the port. Kept messages that nobody has taken fail for their publishers."""
        self._closing = True
        await asyncio.gather(*[consumer.stop() for consumer in list(self._consumers)])
        self._closed = True
        for waiting in self._shared.values():
            waiting.fail(BusUnavailable("the bus was closed before the message was handled"))

    def _place(self, message: Message, receipt: Receipt) -> None:
        way = route(message)
        queue = queue_of(way)
        if queue.exclusive and not is_agents(queue):
            for copy in self._copies.get(queue.name, ()):
                copy.offer(message, self._hints_per_queue)
        elif way.kept:
            self._keep(queue, message, receipt)
        else:
            waiting = self._shared.get(queue.name)
            if waiting is not None and waiting.consumers:
                waiting.offer(message, self._hints_per_queue)

    def _keep(self, queue: Queue, message: Message, receipt: Receipt) -> None:
        waiting = self._shared.setdefault(queue.name, Waiting(queue))
        if isinstance(message, DeadLetter):
            log.warning("bus.dead_letter", queue=message.queue, reason=message.reason)
            if not waiting.consumers:
                self._dead.append(Entry(message, None))
                return
        if self._closing and not waiting.consumers:
            raise BusUnavailable(f"the bus is closing and nobody consumes {queue.name} any more")
        receipt.open += 1
        waiting.put(Entry(message, receipt))

    async def _settled(self, receipt: Receipt) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await receipt.settled()
        except TimeoutError as error:
            for waiting in self._shared.values():
                waiting.forget(receipt)
            raise BusUnavailable(f"nobody handled a kept message within {self._timeout:g} s") from error

    def _open(self, queue: Queue) -> Waiting:
        if queue.exclusive and not is_agents(queue):
            copy = Waiting(queue)
            self._copies.setdefault(queue.name, []).append(copy)
            return copy
        waiting = self._shared.setdefault(queue.name, Waiting(queue))
        if queue.exclusive and waiting.consumers:
            raise QueueTaken(f"{queue.name} is consumed already: is another agent of that name running?")
        if queue.name == DEAD.name:
            while self._dead:
                waiting.put(self._dead.popleft())
        return waiting

    def _leave(self, consumer: "Consumer") -> None:
        self._consumers.remove(consumer)
        waiting = consumer.waiting
        waiting.consumers -= 1
        copies = self._copies.get(waiting.queue.name, [])
        if waiting in copies:
            copies.remove(waiting)
        elif not waiting.queue.kept and not waiting.consumers:
            del self._shared[waiting.queue.name]
