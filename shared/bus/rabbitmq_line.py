"""What waits to be sent to one destination, and who waits for it. No I/O."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.bus.codec import Encoded
from shared.bus.routes import Route

BODY_BYTES, BODY_MESSAGES = 512 * 1024, 200


@dataclass(eq=False, slots=True)
class Ticket:
    """What one publish waits for: `open` of its messages are not confirmed yet."""

    done: asyncio.Future[None]
    open: int = 0
    trouble: str = "no connection to the broker"

    def confirm(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message on its way; `number` is its place among all."""

    number: int
    encoded: Encoded
    ticket: Ticket


@dataclass(eq=False, slots=True)
class Line:
    """What waits for one destination."""

    way: Route
    waiting: deque[Parcel] = field(default_factory=deque)
    unconfirmed: int = 0

    def take(self) -> list[Parcel]:
        """What goes into the next body. Those that nobody waits for any more are forgotten."""
        taken: list[Parcel] = []
        size = 0
        while self.waiting and len(taken) < BODY_MESSAGES:
            parcel = self.waiting[0]
            size += len(parcel.encoded.data)
            if taken and (parcel.encoded.alone or size > BODY_BYTES):
                break
            self.waiting.popleft()
            if not parcel.ticket.done.done():
                taken.append(parcel)
            if parcel.encoded.alone and taken:
                break
        return taken

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """Where they were."""
        self.waiting = deque(sorted([*parcels, *self.waiting], key=lambda parcel: parcel.number))

    def forget(self, ticket: Ticket) -> None:
        self.waiting = deque(parcel for parcel in self.waiting if parcel.ticket is not ticket)
