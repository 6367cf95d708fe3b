"""One connection to the broker that comes back by itself, and channels on it that do the same.

The connection is aio-pika's; channels are those of its protocol layer, aiormq. aio-pika's robust layer restores what it
has seen declared, whereas here each user of a channel says itself what a fresh one needs, and a message costs a third
less (docs/decisions/0006).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlencode, urlsplit

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractConnection as Client
from aiormq.abc import AbstractChannel, AbstractConnection

from shared.bus.port import BusUnavailable
from shared.patience import pauses

log = structlog.get_logger()

_CONNECT_SECONDS, _CLOSE_SECONDS, _HEARTBEAT_SECONDS = 15, 5, 10
_CHANNEL_SECONDS = 10
_FRAMES_BUFFERED = 256
_LASTING_SECONDS, _CHANNEL_PAUSE_SECONDS = 5, 1.0


def cancelled_by_us() -> bool:
    """Whether a CancelledError is meant for the current task; the client raises bare ones for lost connections."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def or_unavailable(what: str, seconds: float) -> AsyncIterator[None]:
    """Whatever the broker or its absence does within the block, or a longer time, becomes a BusUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except asyncio.CancelledError as error:
        if cancelled_by_us():
            raise
        raise BusUnavailable(f"{what}: the connection was lost") from error
    except (aiormq.AMQPError, OSError, RuntimeError, TimeoutError) as error:
        raise BusUnavailable(f"{what}: {error or 'no answer in time'}") from error


async def closed(thing: AbstractConnection | AbstractChannel) -> None:
    """Return when it is closed, by whomever."""
    if not thing.is_closed:
        await asyncio.wait([thing.closing])


class Link:
    """A connection for one `purpose`. `prepare` runs on each new one before anybody gets it."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        purpose: str,
        prepare: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    ) -> None:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        query.setdefault("heartbeat", str(_HEARTBEAT_SECONDS))
        self._url = parts._replace(query=urlencode(query)).geturl()
        self._label = f"floe {name} {purpose}"
        self._broker = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
        self._prepare = prepare
        self._client: Client | None = None
        self._connection: AbstractConnection | None = None
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start connecting. Twice is harmless."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._label)

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as one can know here."""
        return self._connection is not None and not self._connection.is_closed

    async def connection(self) -> AbstractConnection:
        """The open connection, as soon as there is one."""
        while self._connection is None or self._connection.is_closed:
            self._ready.clear()
            await self._ready.wait()
        return self._connection

    async def close(self) -> None:
        """Disconnect for good. Twice is harmless."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._client is not None:
            await _close(self._client)

    @asynccontextmanager
    async def channel(self, *, confirms: bool = False) -> AsyncIterator[AbstractChannel]:
        """A channel of one's own, closed at the end. Raises what the client raises."""
        connection = await self.connection()
        channel = await connection.channel(
            publisher_confirms=confirms,
            on_return_raises=confirms,
            frame_buffer_size=_FRAMES_BUFFERED,
            timeout=_CHANNEL_SECONDS,
        )
        try:
            yield channel
        finally:
            await _close(channel)

    async def serve(self, work: Callable[[AbstractChannel], Awaitable[None]], *, confirms: bool = False) -> None:
        """Run `work` with a channel, again and again with a fresh one; it is cancelled when its channel closes."""
        waits, clock = pauses(longest=_CHANNEL_PAUSE_SECONDS), asyncio.get_running_loop().time
        while True:
            try:
                async with self.channel(confirms=confirms) as channel:
                    since = clock()
                    await _while_open(channel, work)
                    waits = pauses(longest=_CHANNEL_PAUSE_SECONDS) if clock() - since > _LASTING_SECONDS else waits
            except asyncio.CancelledError:
                if cancelled_by_us():
                    raise
            except Exception as error:
                log.warning("broker.channel_failed", broker=self._broker, link=self._label, error=_say(error))
            await asyncio.sleep(next(waits))

    async def _run(self) -> None:
        waits = pauses(0.2)
        while True:
            try:
                self._connection = await self._connect()
            except asyncio.CancelledError:
                if cancelled_by_us():
                    raise
            except Exception as error:
                log.warning("broker.away", broker=self._broker, link=self._label, error=_say(error))
            else:
                log.info("broker.connected", broker=self._broker, link=self._label)
                waits = pauses(0.2)
                self._ready.set()
                await closed(self._connection)
                log.warning("broker.lost", broker=self._broker, link=self._label)
                continue
            await asyncio.sleep(next(waits))

    async def _connect(self) -> AbstractConnection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            client = await aio_pika.connect(self._url, client_properties={"connection_name": self._label})
        try:
            if client.transport is None:
                raise BusUnavailable("the connection was lost as soon as it was made")
            connection = client.transport.connection
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            await _close(client)
            raise
        self._client = client
        return connection


async def _while_open(channel: AbstractChannel, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(work(channel))
    try:
        await asyncio.wait([task, channel.closing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _close(thing: Client | AbstractChannel) -> None:
    with suppress(Exception):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await thing.close()


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
