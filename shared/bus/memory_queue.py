"""What waits in a queue of the in-process bus, and the task that brings it to a handler."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from shared.bus.messages import Message
from shared.bus.port import BusUnavailable, Handler, Queue
from shared.patience import pauses, set_within

log = structlog.get_logger()

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0


@dataclass(eq=False, slots=True)
class Receipt:
    """What one publish waits for: `open` of its kept messages are not handled yet."""

    open: int = 0
    error: Exception | None = None
    _done: asyncio.Future[None] | None = None

    async def settled(self) -> None:
        """Return when all are handled. Raises what a handler's last try raised, as BusUnavailable."""
        if self.open:
            self._done = asyncio.get_running_loop().create_future()
            await self._done
        if self.error is not None:
            raise BusUnavailable(f"a kept message was not handled: {self.error}") from self.error

    def settle(self, error: Exception | None) -> None:
        """One message less."""
        self.open -= 1
        self.error = self.error or error
        if not self.open and self._done is not None and not self._done.done():
            self._done.set_result(None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message and who waits for it: None for a hint."""

    message: Message
    receipt: Receipt | None


@dataclass(eq=False, slots=True)
class Waiting:
    """What nobody has taken yet, in order of arrival."""

    queue: Queue
    consumers: int = 0
    entries: deque[Entry] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _full: bool = False

    def put(self, entry: Entry) -> None:
        """A kept message; its publisher waits, so publishers bound this."""
        self.entries.append(entry)
        self.arrived.set()

    def offer(self, message: Message, limit: int) -> None:
        """A hint: dropped when `limit` wait already."""
        if len(self.entries) < limit:
            self._full = False
            self.put(Entry(message, None))
        elif not self._full:
            self._full = True
            log.warning("bus.hints_dropped", queue=self.queue.name, waiting=limit)

    def take(self, batch: int) -> list[Entry]:
        """Up to `batch` of the oldest."""
        taken = [self.entries.popleft() for _ in range(min(batch, len(self.entries)))]
        if not self.entries:
            self.arrived.clear()
        return taken

    def forget(self, receipt: Receipt) -> None:
        """Drop what a publisher that gave up has left here."""
        if any(entry.receipt is receipt for entry in self.entries):
            self.entries = deque(entry for entry in self.entries if entry.receipt is not receipt)

    def fail(self, error: Exception) -> None:
        """Tell every publisher that nobody will come."""
        settle(self.take(len(self.entries)), error)


class Consumer:
    """A Subscription: one task that takes what waits and awaits the handler, one batch at a time."""

    def __init__(
        self, waiting: Waiting, handler: Handler, batch: int, retries: int, left: Callable[["Consumer"], None]
    ) -> None:
        self.waiting = waiting
        self._handler, self._batch, self._retries, self._left = handler, batch, retries, left
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"bus {waiting.queue.name}")

    async def stop(self) -> None:
        """See the port."""
        if not self._stop.is_set():
            self._stop.set()
            self.waiting.arrived.set()
            self._left(self)
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        while not self._stop.is_set():
            await self.waiting.arrived.wait()
            if self._stop.is_set():
                return
            entries = self.waiting.take(self._batch)
            if entries:
                await self._handle(entries)

    async def _handle(self, entries: Sequence[Entry]) -> None:
        error: Exception | None = None
        try:
            error = await self._try([entry.message for entry in entries])
        except asyncio.CancelledError:
            error = BusUnavailable("the handler was cancelled")
            raise
        finally:
            settle(entries, error)

    async def _try(self, messages: list[Message]) -> Exception | None:
        waits = pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        for left in range(self._retries, -1, -1):
            try:
                await self._handler(messages)
            except Exception as error:
                log.warning("bus.handler_failed", queue=self.waiting.queue.name, tries_left=left, exc_info=True)
                if not left or await set_within(self._stop, next(waits)):
                    return error
            else:
                return None
        raise AssertionError("unreachable: the last try returns")


def settle(entries: Sequence[Entry], error: Exception | None) -> None:
    """Tell the publishers how it went."""
    for entry in entries:
        if entry.receipt is not None:
            entry.receipt.settle(error)
