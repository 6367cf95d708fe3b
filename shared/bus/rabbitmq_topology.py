"""What exists on the broker: exchanges, queues and their arguments (ARCHITECTURE §5).

Arguments of a queue can never be changed after its first declaration, so they stand here and nowhere else. A queue
that exists with others is used as it is, and the log says so.
"""

import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from aiormq import ChannelAccessRefused, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel, AbstractConnection

from shared.bus import port
from shared.bus.port import AGENT_QUEUE_PREFIX, Queue, is_agents
from shared.bus.routes import (
    AGENT_KEY_PREFIX,
    AGENTS,
    BINDINGS,
    DEAD_EXCHANGE,
    HINT,
    IN,
    LIVE_EXCHANGE,
    agent_key,
)

log = structlog.get_logger()

LOGS_MAX_BYTES = 256 * 1024 * 1024
_DELIVERY_LIMIT = 1_000
"""A last net only: consumers that die with full prefetches count up too (RELIABILITY §2)."""
_HINT_TTL_MS, _AGENT_HINT_TTL_MS, _AGENT_UNUSED_MS = 60_000, 10_000, 24 * 3600 * 1000
_COPY_UNUSED_MS = 20_000
"""One that could be made but not bound never had a consumer, so it would stay as long as its connection."""
_HINTS_PER_QUEUE, _HINTS_PER_CONSUMER = 100_000, 10_000

_EXCHANGES = {IN: "topic", AGENTS: "topic", HINT: "topic", LIVE_EXCHANGE: "topic", DEAD_EXCHANGE: "fanout"}
_SHARED = (port.TRIGGERS, port.CONTROL, port.REPORTS, port.LOGS, port.HUB_HINTS, port.DISPATCHER, port.DEAD)


def arguments(queue: Queue, logs_max_bytes: int) -> dict[str, Any]:
    """The arguments that a queue is declared with, by everybody."""
    if is_agents(queue):
        return {
            "x-message-ttl": _AGENT_HINT_TTL_MS,
            "x-expires": _AGENT_UNUSED_MS,
            "x-max-length": _HINTS_PER_CONSUMER,
        }
    if not queue.kept:
        return {"x-message-ttl": _HINT_TTL_MS, "x-max-length": _HINTS_PER_QUEUE}
    quorum: dict[str, Any] = {"x-queue-type": "quorum"}
    if queue.name == port.DEAD.name:
        return quorum
    quorum |= {"x-delivery-limit": _DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD_EXCHANGE}
    if queue.name == port.LOGS.name:
        quorum |= {"x-max-length-bytes": logs_max_bytes, "x-overflow": "reject-publish"}
    return quorum


class Topology:
    """Declares. With `declare` off it declares nothing and takes what is there (an agent's user may not)."""

    def __init__(self, *, name: str, declare: bool, logs_max_bytes: int = LOGS_MAX_BYTES) -> None:
        self._name, self._declare, self._logs_max_bytes = name, declare, logs_max_bytes

    async def declare_shared(self, connection: AbstractConnection) -> None:
        """All exchanges and shared queues. Twice is harmless."""
        if not self._declare:
            return
        for exchange, kind in _EXCHANGES.items():
            await _tried(connection, exchange, partial(_make_exchange, exchange=exchange, kind=kind))
        for queue in _SHARED:
            await _tried(connection, queue.name, partial(self._make, queue=queue))

    async def declare_agent(self, connection: AbstractConnection, host: str) -> None:
        """The queue of one agent. Twice is harmless."""
        queue = port.agent_queue(host)
        await _tried(connection, queue.name, partial(self._make, queue=queue))

    async def prepare(self, channel: AbstractChannel, queue: Queue) -> str:
        """Make what a consumer of `queue` needs; returns the name to consume from, its own for a copy of its own."""
        if queue.exclusive and not is_agents(queue):
            return await self._make_copy(channel, queue)
        if self._declare:
            await _tried(channel.connection, queue.name, partial(self._make, queue=queue))
        return queue.name

    async def depths(self, channel: AbstractChannel) -> dict[str, int]:
        """How many messages wait in each shared queue."""
        depths = {}
        for queue in _SHARED:
            answer = await channel.queue_declare(queue.name, passive=True)
            depths[queue.name] = answer.message_count or 0
        return depths

    async def _make(self, channel: AbstractChannel, queue: Queue) -> None:
        await channel.queue_declare(queue.name, durable=True, arguments=arguments(queue, self._logs_max_bytes))
        await _bind(channel, queue, queue.name)

    async def _make_copy(self, channel: AbstractChannel, queue: Queue) -> str:
        name = f"floe.{queue.name}.{self._name}.{uuid.uuid4().hex[:12]}"
        limits: dict[str, Any] = {
            "x-message-ttl": _HINT_TTL_MS,
            "x-expires": _COPY_UNUSED_MS,
            "x-max-length": _HINTS_PER_CONSUMER,
        }
        await channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=limits)
        await _bind(channel, queue, name)
        return name


async def _bind(channel: AbstractChannel, queue: Queue, name: str) -> None:
    if is_agents(queue):
        await channel.queue_bind(name, HINT, agent_key(queue.name.removeprefix(AGENT_QUEUE_PREFIX)))
    for exchange, pattern, bound in BINDINGS:
        if bound.name == queue.name:
            await channel.queue_bind(name, exchange, pattern)


async def _make_exchange(channel: AbstractChannel, *, exchange: str, kind: str) -> None:
    await channel.exchange_declare(exchange, exchange_type=kind, durable=True)


async def _tried(connection: AbstractConnection, what: str, make: Callable[[AbstractChannel], Awaitable[None]]) -> None:
    """On a channel of its own, which a refused declaration closes."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        await make(channel)
    except (ChannelPreconditionFailed, ChannelAccessRefused) as error:
        log.error("broker.declaration_refused", what=what, error=str(error), then="used as it is")
    else:
        await channel.close()


def host_of_key(key: str) -> str:
    """The host that a hint's key names."""
    return key.removeprefix(AGENT_KEY_PREFIX)
