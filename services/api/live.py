"""What happens right now, for everybody in this process who waits for it: one subscription, fanned out.

Live messages are hints: any of them may be lost, so whoever watches looks into the store when it is quiet for long,
when `missed` says that it fell behind, and before it relies on silence.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.bus.messages import LogGrew, Message, RunEvents, TriggerSettled
from shared.bus.port import LIVE, Bus, Subscription
from shared.patience import set_within

CAPACITY = 1000
Key = tuple[str, str]
EVERYTHING: Key = ("all", "")


def run_key(ref: str) -> Key:
    """All that is said about one run."""
    return ("run", ref)


def trigger_key(trigger_id: str) -> Key:
    """What a trigger leads to: its verdicts, and all that is said about the runs that it makes."""
    return ("trigger", trigger_id)


def flow_key(flow: str) -> Key:
    """The events of all runs of a flow."""
    return ("flow", flow)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came since the last look. `missed`: there was more, which was dropped. `closed`: nothing will come."""

    messages: Sequence[Message] = ()
    missed: bool = False
    closed: bool = False


@dataclass(eq=False, slots=True)
class Watch:
    """One reader's queue: bounded, so that a reader that does not read costs no more than that."""

    keys: set[Key]
    capacity: int = CAPACITY
    _came: list[Message] = field(default_factory=list)
    _missed: bool = False
    _closed: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, timeout: float) -> Taken:  # noqa: ASYNC109 - an answer, not an error, is due when it is over
        """All that came, at once when there is something; empty after `timeout` seconds of silence."""
        if not await set_within(self._wake, timeout):
            return Taken()
        taken = Taken(self._came, self._missed, self._closed)
        self._came, self._missed = [], False
        if not self._closed:
            self._wake.clear()
        return taken

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        return len(self._came)

    def offer(self, message: Message) -> None:
        """Put a message in, or note that it was missed; the queue is emptied then, what is in it has a gap anyway."""
        if len(self._came) >= self.capacity:
            self._came, self._missed = [], True
        else:
            self._came.append(message)
        self._wake.set()

    def close(self) -> None:
        """Wake the reader for the last time."""
        self._closed = True
        self._wake.set()


class Live:
    """The fan-out. `start` before the first watch, `stop` wakes everybody with `closed`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._subscription: Subscription | None = None
        self._watches: dict[Key, set[Watch]] = defaultdict(set)
        self._closed = False

    async def start(self) -> None:
        """Listen. Twice is harmless."""
        if self._subscription is None:
            self._subscription = await self._bus.subscribe(LIVE, self._dispatch, batch=500)

    async def stop(self) -> None:
        """End every watch and stop listening. Twice is harmless."""
        self.close()
        if self._subscription is not None:
            await self._subscription.stop()

    def close(self) -> None:
        """End every watch, now and later; listening may go on."""
        self._closed = True
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch.close()

    @property
    def listening(self) -> bool:
        """Whether live messages come in here."""
        return self._subscription is not None and not self._closed

    @property
    def watching(self) -> int:
        """How many watches are open."""
        return len({watch for watches in self._watches.values() for watch in watches})

    @contextmanager
    def watch(self, *keys: Key, capacity: int = CAPACITY) -> Iterator[Watch]:
        """Hear what is said about these from now on."""
        watch = Watch(set(keys), capacity)
        for key in keys:
            self._watches[key].add(watch)
        if self._closed:
            watch.close()
        try:
            yield watch
        finally:
            self._forget(watch)

    def _forget(self, watch: Watch) -> None:
        for key in watch.keys:
            watches = self._watches.get(key, set())
            watches.discard(watch)
            if not watches:
                self._watches.pop(key, None)

    async def _dispatch(self, messages: Sequence[Message]) -> None:
        for message in messages:
            match message:
                case RunEvents():
                    self._extend(message.trigger_id, [message.run])
                    self._hand_out(message, run_key(message.run), flow_key(message.flow), EVERYTHING)
                case TriggerSettled():
                    self._extend(message.trigger_id, message.runs)
                    self._hand_out(message, trigger_key(message.trigger_id))
                case LogGrew():
                    self._hand_out(message, run_key(message.run))
                case _:
                    pass

    def _extend(self, trigger_id: str, refs: Sequence[str]) -> None:
        """Who watches a trigger watches its runs too, from the first word about them."""
        for watch in self._watches.get(trigger_key(trigger_id), ()):
            for ref in refs:
                watch.keys.add(run_key(ref))
                self._watches[run_key(ref)].add(watch)

    def _hand_out(self, message: Message, *keys: Key) -> None:
        told: set[Watch] = set()
        for key in keys:
            told.update(self._watches.get(key, ()))
        for watch in told:
            watch.offer(message)
