"""Trying a whole transaction again (RELIABILITY §2): lost connections, deadlocks, serialisation, lock timeouts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.patience import pauses
from shared.store.port import StoreUnavailable

T = TypeVar("T")
ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.04


async def again(transaction: Callable[[], Awaitable[T]]) -> T:
    """Its result, or what the last of ATTEMPTS raised. Every write of the store may be repeated, so a commit that was
    lost in transit does no harm."""
    waits = pauses(_FIRST_PAUSE_SECONDS)
    for _ in range(1, ATTEMPTS):
        try:
            return await transaction()
        except StoreUnavailable:
            await asyncio.sleep(next(waits))
    return await transaction()
