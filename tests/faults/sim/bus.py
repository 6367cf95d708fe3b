"""The simulated broker: keeps what it must keep, and does to the rest what the seed says (RELIABILITY §1, X5, X8).

Kept messages survive everybody's death once `publish` has returned, and come again until they are acknowledged. Hints
are dropped, doubled, delayed and overtaken. Nothing is encoded.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial

from shared.bus.messages import DeadLetter, FinishedReport, Message
from shared.bus.port import BusUnavailable, Handler, Queue, QueueTaken
from shared.bus.routes import queue_of, route
from tests.faults.sim.faults import Faults
from tests.faults.sim.loop import OWNER, Process, VirtualLoop

HINT_SECONDS = 10.0
PUBLISH_SECONDS = 5.0
_BACKOFF_SECONDS = (0.05, 0.2, 0.5, 1.0)


@dataclass(eq=False, slots=True)
class Waiting:
    """A queue in the broker."""

    queue: Queue
    entries: deque[tuple[float, Message]] = field(default_factory=deque)
    consumers: list["Consumer"] = field(default_factory=list)
    turn: int = 0

    def put(self, now: float, messages: Sequence[Message]) -> None:
        self.entries.extend((now, message) for message in messages)
        self.deal()

    def deal(self) -> None:
        """Wake whoever is next."""
        if self.entries and self.consumers:
            self.turn += 1
            for each in range(len(self.consumers)):
                consumer = self.consumers[(self.turn + each) % len(self.consumers)]
                if not consumer.hand:
                    consumer.arrived.set()
                    return


class Consumer:
    """A Subscription. Its task belongs to the process that subscribed, and dies with it."""

    def __init__(self, broker: "Broker", waiting: Waiting, handler: Handler, batch: int, owner: Process) -> None:
        self.broker, self.waiting, self.owner = broker, waiting, owner
        self._handler, self._batch = handler, batch
        self.hand: list[Message] = []
        """Delivered and not acknowledged; the broker empties it when it gives them to another."""
        self.arrived = asyncio.Event()
        self._stopped = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopped = True
        self.arrived.set()
        await asyncio.shield(self._task)
        self.broker.leave(self)

    async def _run(self) -> None:
        broker, waiting = self.broker, self.waiting
        while not self._stopped:
            await self.arrived.wait()
            self.arrived.clear()
            while waiting.entries and not self._stopped:
                if not broker.reaches(self.owner):
                    await asyncio.sleep(0.5)
                    continue
                messages = broker.take(waiting, self._batch)
                if messages:
                    await self._deliver(messages)

    async def _deliver(self, messages: list[Message]) -> None:
        hand = self.hand = list(messages)
        tries = 0
        while True:
            try:
                await self._handler(messages)
            except Exception as error:
                self.broker.note(f"{self.waiting.queue.name} not handled: {error}")
                if self._stopped:
                    break
                await asyncio.sleep(_BACKOFF_SECONDS[min(tries, len(_BACKOFF_SECONDS) - 1)])
                tries += 1
            else:
                hand = self._acknowledged(hand)
                break
        self.hand = []
        if hand and self.waiting.queue.kept:
            self.broker.put(self.waiting, hand)
        self.waiting.deal()

    def _acknowledged(self, hand: list[Message]) -> list[Message]:
        """What comes again although it was handled: the acknowledgement was lost on the way."""
        lost = self.waiting.queue.kept and self.broker.faults.strikes("ack_lost")
        return hand if lost else []


class Broker:
    """The Bus of everybody. Who calls is known by the process whose code runs."""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self.loop, self.faults = loop, faults
        self.queues: dict[str, Waiting] = {}
        self.copies: dict[str, list[Waiting]] = {}
        self.dead: list[DeadLetter] = []
        self.wiped: set[str] = set()
        """Ids of kept messages that were lost with the broker's disk."""
        self.never: dict[str, float] = {}
        """Activations of which a host said that they never started, with when it first did."""
        self.down_until = 0.0
        self.trace: Callable[[str], None] | None = None
        self._life = 0
        self._outside = copy_context()

    # --- the port ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def declare_agent(self, host: str) -> None:
        self._queue(Queue(f"floe.agent.{host}", kept=False, exclusive=True))

    async def publish(self, messages: Sequence[Message]) -> None:
        owner = OWNER.get()
        kept: dict[str, list[Message]] = {}
        hints: dict[str, list[Message]] = {}
        for message in messages:
            way = route(message)
            queue = queue_of(way)
            if isinstance(message, DeadLetter):
                self.dead.append(message)
                self.note(f"dead letter: {message.reason}")
                continue
            if way.kept:
                self._queue(queue)
            (kept if way.kept else hints).setdefault(queue.name, []).append(message)
        for name, some in hints.items():
            self._hint(owner, name, some)
        if kept:
            await self._keep(owner, kept)

    async def subscribe(self, queue: Queue, handler: Handler, *, batch: int = 200) -> Consumer:
        owner = OWNER.get()
        assert owner is not None
        await self._passage(owner)
        if queue.exclusive and not queue.name.startswith("floe.agent."):
            waiting = Waiting(queue)
            self.copies.setdefault(queue.name, []).append(waiting)
        else:
            waiting = self._queue(queue)
            if queue.exclusive and waiting.consumers:
                raise QueueTaken(f"{queue.name} is consumed already")
        consumer = Consumer(self, waiting, handler, batch, owner)
        waiting.consumers.append(consumer)
        waiting.deal()
        return consumer

    # --- what happens to the processes ------------------------------------------------------------------------------

    def leave(self, consumer: Consumer) -> None:
        """A consumer is gone: what it had comes again."""
        waiting = consumer.waiting
        if consumer in waiting.consumers:
            waiting.consumers.remove(consumer)
            copies = self.copies.get(waiting.queue.name, [])
            if waiting in copies:
                copies.remove(waiting)
        self.take_back(consumer)
        waiting.deal()

    def take_back(self, consumer: Consumer) -> None:
        hand = list(consumer.hand)
        consumer.hand.clear()
        if hand and consumer.waiting.queue.kept:
            self.put(consumer.waiting, hand)

    def connection_lost(self, owner: Process, *, for_ever: bool) -> None:
        """The broker notices that a process is gone, or thinks so."""
        for waiting in [*self.queues.values(), *(each for some in self.copies.values() for each in some)]:
            for consumer in [each for each in waiting.consumers if each.owner is owner]:
                if for_ever:
                    self.leave(consumer)
                else:
                    self.take_back(consumer)

    def wipe(self) -> None:
        """Its disk is gone, and all that it kept."""
        self._life += 1
        for waiting in self.queues.values():
            if waiting.queue.kept:
                self.wiped |= {message.id for _, message in waiting.entries}
                for consumer in waiting.consumers:
                    self.wiped |= {message.id for message in consumer.hand}
            waiting.entries.clear()

    @property
    def unsettled(self) -> list[str]:
        """Kept messages that wait or are in somebody's hand."""
        found = []
        for waiting in self.queues.values():
            if waiting.queue.kept:
                waits = [message.id for _, message in waiting.entries]
                held = [message.id for each in waiting.consumers for message in each.hand]
                found += [f"{waiting.queue.name}: {each}" for each in waits + held]
        return found

    # --- inside -----------------------------------------------------------------------------------------------------

    def reaches(self, owner: Process | None) -> bool:
        now = self.loop.now
        return self.down_until <= now and (owner is None or owner.cut_until <= now)

    def put(self, waiting: Waiting, messages: Sequence[Message]) -> None:
        waiting.put(self.loop.now, messages)

    def take(self, waiting: Waiting, batch: int) -> list[Message]:
        entries = [waiting.entries.popleft() for _ in range(min(batch, len(waiting.entries)))]
        if waiting.queue.kept or waiting.queue.exclusive is False:
            return [message for _, message in entries]
        oldest = self.loop.now - HINT_SECONDS
        return [message for at, message in entries if at >= oldest]

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace(text)

    def _queue(self, queue: Queue) -> Waiting:
        found = self.queues.get(queue.name)
        if found is None:
            found = self.queues[queue.name] = Waiting(queue)
        return found

    def _targets(self, name: str) -> list[Waiting]:
        if name in self.copies:
            return self.copies[name]
        if name in ("beats", "live"):
            return []
        known = self.queues.get(name)
        return [known] if known is not None else []

    def _hint(self, owner: Process | None, name: str, messages: list[Message]) -> None:
        if not self.reaches(owner):
            self.faults.count("hint_lost", len(messages))
            return
        for waiting in self._targets(name):
            now: list[Message] = []
            for message in messages:
                for delay in self.faults.fate_of_hint():
                    if delay:
                        self._later(delay, waiting, [message])
                    else:
                        now.append(message)
            if now:
                self._later(self.faults.latency(), waiting, now)
        if self.trace is not None:
            self.note(f"{owner.name if owner else 'world'} -> {name}: {', '.join(map(_short, messages))}")

    def _later(self, seconds: float, waiting: Waiting, messages: list[Message]) -> None:
        arrive = partial(self._arrive, self._life, waiting, messages)
        self.loop.call_later(seconds, arrive, context=self._outside)

    def _arrive(self, life: int, waiting: Waiting, messages: list[Message]) -> None:
        if life == self._life:
            self.put(waiting, messages)
        else:
            self.wiped |= {message.id for message in messages}

    async def _passage(self, owner: Process | None) -> None:
        """Wait for a way to the broker. Raises BusUnavailable when there is none in time."""
        until = self.loop.now + PUBLISH_SECONDS
        while not self.reaches(owner):
            if self.loop.now >= until:
                raise BusUnavailable("the broker cannot be reached")
            await asyncio.sleep(0.5)

    async def _keep(self, owner: Process | None, kept: dict[str, list[Message]]) -> None:
        await self._passage(owner)
        await asyncio.sleep(self.faults.latency())
        if not self.reaches(owner) or self.faults.strikes("publish_lost"):
            await asyncio.sleep(PUBLISH_SECONDS)
            raise BusUnavailable("not confirmed in time")
        for name, messages in kept.items():
            self._store(self._queue_named(name), messages)
            if self.trace is not None:
                self.note(f"{owner.name if owner else 'world'} => {name}: {', '.join(map(_short, messages))}")
        await asyncio.sleep(self.faults.latency())
        if self.faults.strikes("confirm_lost"):
            await asyncio.sleep(PUBLISH_SECONDS)
            raise BusUnavailable("the confirm was lost")

    def _queue_named(self, name: str) -> Waiting:
        return self.queues[name]

    def _store(self, waiting: Waiting, messages: list[Message]) -> None:
        now: list[Message] = []
        for message in messages:
            now.append(message)
            if isinstance(message, FinishedReport) and not message.started:
                self.never.setdefault(f"{message.run}/{message.n}", self.loop.now)
            if self.faults.strikes("kept_doubled"):
                self._later(self.faults.delay(), waiting, [message])
        if self.faults.strikes("kept_shuffled"):
            self.faults.random.shuffle(now)
        self.put(waiting, now)


def _short(message: Message) -> str:
    return f"{type(message).__name__}({message.id})"
