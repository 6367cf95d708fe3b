"""How long to wait: before the next try, and for something that may come sooner."""

import asyncio
import random
from collections.abc import Iterator


def pauses(first: float = 0.1, longest: float = 3.0) -> Iterator[float]:
    """Seconds to wait before each next try: doubling, with jitter, without end."""
    pause = first
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, longest)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set, or was before `seconds` were over."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
