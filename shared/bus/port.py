"""The bus as services see it. Adapters: `memory` (one process) and `rabbitmq`; one conformance suite holds both.

Two classes of delivery. *Kept* messages arrive at least once, whatever dies, once `publish` has returned. *Hints*
arrive at most once and are dropped rather than ever blocking: whoever sends one can say it again from the store.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.bus.messages import Message
from shared.errors import Unavailable


class BusUnavailable(Unavailable):
    """The broker did not take it in time; nothing is known about whether it arrived."""


class QueueTaken(Unavailable):
    """Somebody else consumes this exclusive queue."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Something to consume. Use the constants and functions below, never a name of your own."""

    name: str
    kept: bool
    exclusive: bool = False
    """One consumer at a time; of a named queue (an agent's) the second one gets QueueTaken."""


TRIGGERS = Queue("floe.triggers", kept=True)
CONTROL = Queue("floe.control", kept=True)
REPORTS = Queue("floe.reports", kept=True)
LOGS = Queue("floe.logs", kept=True)
HUB_HINTS = Queue("floe.hub.hints", kept=False)
DISPATCHER = Queue("floe.dispatcher", kept=False)
BEATS = Queue("beats", kept=False, exclusive=True)
"""Every subscriber has its own copy of all beats."""
LIVE = Queue("live", kept=False, exclusive=True)
"""Every subscriber has its own copy of all that `floe.live` carries."""
DEAD = Queue("floe.dead", kept=True)


AGENT_QUEUE_PREFIX = "floe.agent."


def agent_queue(host: str) -> Queue:
    """What is said to one agent."""
    return Queue(f"{AGENT_QUEUE_PREFIX}{host}", kept=False, exclusive=True)


def is_agents(queue: Queue) -> bool:
    """Whether it is what is said to one agent."""
    return queue.name.startswith(AGENT_QUEUE_PREFIX)


Handler = Callable[[Sequence[Message]], Awaitable[None]]


class Subscription(Protocol):
    """A running consumer."""

    async def stop(self) -> None:
        """Take no more, let the handler finish what it has in hand. Twice is harmless."""


class Bus(Protocol):
    """How services talk."""

    async def start(self) -> None:
        """Connect and declare what is shared. Waits while the broker is away, and says so in the log."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send each message where its type goes (`routes.route`), batched by destination.

        Returns when every kept one is safe and every hint is handed over or dropped. Raises BusUnavailable when a
        kept one could not be confirmed in time; sending the same again is harmless. Never raises for hints, never
        blocks for them. In one process "safe" means handled, and a handler's error reaches the publisher after
        retries: nobody may await a kept publish to a queue that its own handler serves.
        """

    async def subscribe(self, queue: Queue, handler: Handler, *, batch: int = 200) -> Subscription:
        """Call `handler` with up to `batch` messages at a time, one call at a time, in order of arrival.

        What waits is taken at once; nothing waits for company. When the handler returns the batch is acknowledged;
        when it raises, the same batch is tried again after a backoff, and nothing more is taken meanwhile.
        Undecodable bodies never reach the handler: they become dead letters. After a reconnect the consumer resumes.
        Raises QueueTaken for an agent's queue that is consumed already.
        """

    async def declare_agent(self, host: str) -> None:
        """Make the queue of one agent, and make it again whenever a hint to it proves unroutable. Twice is harmless."""

    async def close(self) -> None:
        """Finish what is in hand, then disconnect. Twice is harmless."""
