"""Waits for named conditions instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")
_SHORTEST, _LONGEST = 0.005, 0.1


async def wait_until(
    condition: Callable[[], T | Awaitable[T | None] | None],
    timeout: float = 10.0,  # noqa: ASYNC109 - the failure names the condition, which asyncio.timeout cannot
    what: str = "",
) -> T:
    """Return the first true answer of `condition` (plain or async); AssertionError names `what` after `timeout` s."""
    deadline, pause = time.monotonic() + timeout, _SHORTEST
    while True:
        answer = condition()
        value = cast(T, await answer if inspect.isawaitable(answer) else answer)
        if value:
            return value
        _check(deadline, timeout, what, condition, value)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def wait_until_blocking(condition: Callable[[], T | None], timeout: float = 10.0, what: str = "") -> T:
    """The same for code without a loop."""
    deadline, pause = time.monotonic() + timeout, _SHORTEST
    while not (value := condition()):
        _check(deadline, timeout, what, condition, value)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
    return value


def _check(deadline: float, timeout: float, what: str, condition: object, last: object) -> None:
    if time.monotonic() > deadline:
        name = what or getattr(condition, "__name__", "the condition")
        raise AssertionError(f"not within {timeout:g} s: {name} (last answer: {last!r})")
