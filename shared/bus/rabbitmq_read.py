"""From deliveries to messages and dead letters. Pure but for the time in a dead letter."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiormq.abc import DeliveredMessage

from shared.bus import port
from shared.bus.codec import dead_letter, decode
from shared.bus.messages import DeadLetter, Message
from shared.bus.port import Queue
from shared.bus.routes import route


@dataclass(slots=True)
class Batch:
    """What several deliveries held, in order; `last_tag` is the last one's, `size` their bytes."""

    messages: list[Message] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    last_tag: int = 0
    size: int = 0


def read(delivery: DeliveredMessage, queue: Queue, batch: Batch) -> None:
    """Add everything readable to the batch, and a dead letter for the rest. A dead letter is never buried again."""
    batch.last_tag = delivery.delivery_tag or 0
    batch.size += len(delivery.body)
    if queue.name == port.DEAD.name:
        batch.messages.extend(_letters(delivery))
        return
    now = datetime.now(UTC)
    decoded = decode(delivery.body, queue=queue.name, at=now)
    batch.dead.extend(decoded.dead)
    way = (delivery.exchange, delivery.routing_key)
    right = [message for message in decoded.messages if _way(message) == way]
    batch.messages.extend(right)
    if len(right) < len(decoded.messages):
        reason = f"came by {way[0]} {way[1]}, where not all of it belongs"
        batch.dead.append(dead_letter(delivery.body, queue=queue.name, at=now, reason=reason))


def _way(message: Message) -> tuple[str, str]:
    """A host's user may publish under its own key only, so a message that names another host comes by a wrong one."""
    way = route(message)
    return way.exchange, way.key


def _letters(delivery: DeliveredMessage) -> list[DeadLetter]:
    """What the broker itself moved here is no letter yet: a header says from which queue and why."""
    now = datetime.now(UTC)
    decoded = decode(delivery.body, queue=port.DEAD.name, at=now)
    letters = [message for message in decoded.messages if isinstance(message, DeadLetter)]
    if letters and len(letters) == len(decoded.messages) and not decoded.dead:
        return letters
    headers = delivery.header.properties.headers or {}
    queue, reason = headers.get("x-first-death-queue"), headers.get("x-first-death-reason")
    return [dead_letter(delivery.body, queue=str(queue or "unknown"), at=now, reason=str(reason or "unreadable"))]
