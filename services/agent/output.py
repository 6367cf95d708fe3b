"""Sends logs to the hub while they grow: in order, in chunks, never more than a few of them in memory."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from services.agent.activation import Activation
from services.agent.owned import Owned
from shared.bus.messages import OutputChunk
from shared.bus.port import Bus, BusUnavailable

log = structlog.get_logger()

CHUNK_BYTES = 256 * 1024
SMALL_BYTES = 64 * 1024
_IN_FLIGHT = 8
_LOOK_SECONDS = 1.0
_BACKOFF_SECONDS = 1.0


class OutputStream:
    """What was sent and is not stored `resend_seconds` later is sent again from where the hub has it."""

    def __init__(self, bus: Bus, activations: Callable[[], Iterable[Activation]], resend_seconds: float) -> None:
        self._bus, self._activations, self._resend = bus, activations, resend_seconds
        self._grown: dict[str, Activation] = {}
        self._wake = asyncio.Event()
        self._free = asyncio.Semaphore(_IN_FLIGHT)
        self._owned = Owned("agent output")

    def start(self) -> None:
        """Begin to send."""
        self._owned.spawn(self._send_for_ever())
        self._owned.spawn(self._look_for_ever())

    async def stop(self) -> None:
        """Send no more; what is not stored is sent after the next start."""
        await self._owned.stop()

    def grew(self, activation: Activation) -> None:
        """There may be more to send of it, also less than a full chunk. Called at most every 100 ms while it runs."""
        activation.may_cut = True
        self._grown[activation.key] = activation
        self._wake.set()

    def last(self, activation: Activation) -> OutputChunk | None:
        """The rest of a log that has ended, if it is small, to ride with the report; else it is sent as it comes."""
        length = activation.log.length or 0
        if length - activation.sent > SMALL_BYTES:
            self.grew(activation)
            return None
        return self._next(activation)

    def stored(self, activation: Activation, offset: int) -> None:
        """The hub has it up to `offset`."""
        if offset > activation.stored:
            activation.stored = offset
            activation.moved_at = asyncio.get_running_loop().time()
        activation.sent = max(activation.sent, activation.stored)

    async def _send_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            await self._free.acquire()
            batch = self._gather()
            if batch:
                self._owned.spawn(self._publish(batch))
            else:
                self._wake.clear()
                self._free.release()

    def _gather(self) -> list[tuple[Activation, OutputChunk]]:
        """One publish: a full chunk, or several small ones."""
        batch: list[tuple[Activation, OutputChunk]] = []
        size = 0
        while self._grown and size < CHUNK_BYTES:
            key, activation = next(iter(self._grown.items()))
            del self._grown[key]
            chunk = self._next(activation)
            if chunk is None:
                continue
            batch.append((activation, chunk))
            size += len(chunk.data)
            if len(chunk.data) == CHUNK_BYTES:
                self._grown[key] = activation
        return batch

    def _next(self, activation: Activation) -> OutputChunk | None:
        data = activation.log.read(activation.sent, CHUNK_BYTES)
        ended = activation.log.length is not None
        if not data or (len(data) < CHUNK_BYTES and not (activation.may_cut or ended)):
            return None
        activation.may_cut = activation.may_cut and len(data) == CHUNK_BYTES
        if activation.sent == activation.stored:
            activation.moved_at = asyncio.get_running_loop().time()
        offset = activation.sent
        activation.sent += len(data)
        return activation.chunk(offset, data)

    async def _publish(self, batch: list[tuple[Activation, OutputChunk]]) -> None:
        try:
            await self._bus.publish([chunk for _, chunk in batch])
        except BusUnavailable as error:
            log.warning("agent.output_not_taken", count=len(batch), error=str(error))
            await asyncio.sleep(_BACKOFF_SECONDS)
            for activation, chunk in batch:
                self._again(activation, chunk.offset)
        finally:
            self._free.release()

    def _again(self, activation: Activation, offset: int) -> None:
        activation.sent = max(activation.stored, min(activation.sent, offset))
        self.grew(activation)

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before = asyncio.get_running_loop().time() - self._resend
            for activation in list(self._activations()):
                if activation.sent > activation.stored and activation.moved_at <= before:
                    activation.moved_at = asyncio.get_running_loop().time()
                    self._again(activation, activation.stored)
