"""How services live in a process: started in order, stopped in the opposite one, by a signal or when one of them fails.

The start order is hub, dispatcher, agent, api, so that the stop order is api, agent, dispatcher, hub (ARCHITECTURE §5).
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

import structlog

from shared.errors import FloeError

log = structlog.get_logger()
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Service(Protocol):
    """Something that runs until it is stopped."""

    async def start(self) -> None:
        """Return when it works. Whatever it needs and cannot reach it waits for, and says so in the log."""

    async def stop(self) -> None:
        """Take nothing new, finish what is in hand, leave no task behind. Twice is harmless, and so is in the
        middle of a start that was cancelled or failed."""


@runtime_checkable
class Fallible(Protocol):
    """A service that may find out later that it cannot go on."""

    async def wait_failed(self) -> BaseException:
        """Return the reason once it cannot go on by itself. May be cancelled."""


class ServiceFailed(FloeError):
    """A service could not go on; all others of the process were stopped."""


async def run_services(
    services: Sequence[tuple[str, Service]],
    *,
    on_ready: Callable[[], Awaitable[None]] | None = None,
    stop_seconds: float = 30.0,
) -> None:
    """Start the named services in order, run until SIGTERM, SIGINT or a failure, stop them in the opposite order.

    Returns after a signal; a second one ends the process at once. Raises what a start raised, or ServiceFailed. A
    signal during the start gives it up. Each stop gets `stop_seconds`; one that is over it is logged and left.
    """
    async with _Signals() as signals:
        begun: list[tuple[str, Service]] = []
        starting = asyncio.create_task(_start(services, begun, on_ready), name="start")
        watching: asyncio.Task[None] | None = None
        try:
            if await _first_of(starting, signals.wait()):
                watching = asyncio.create_task(_first_failure(services), name="watch")
                await _first_of(watching, signals.wait())
        finally:
            for task in (starting, watching):
                await _cancelled(task)
            await _stop(begun, stop_seconds)


async def _start(
    services: Sequence[tuple[str, Service]],
    begun: list[tuple[str, Service]],
    on_ready: Callable[[], Awaitable[None]] | None,
) -> None:
    for name, service in services:
        begun.append((name, service))
        await service.start()
        log.debug("service.started", service=name)
    if on_ready is not None:
        await on_ready()


async def _stop(services: Sequence[tuple[str, Service]], stop_seconds: float) -> None:
    for name, service in reversed(services):
        try:
            async with asyncio.timeout(stop_seconds):
                await service.stop()
        except TimeoutError:
            log.error("service.stop_timed_out", service=name, seconds=stop_seconds)
        except Exception as error:
            log.error("service.stop_failed", service=name, exc_info=error)
        else:
            log.debug("service.stopped", service=name)


async def _first_failure(services: Sequence[tuple[str, Service]]) -> None:
    """Wait until one says that it cannot go on, and raise ServiceFailed."""
    watches = {
        asyncio.create_task(service.wait_failed(), name=f"watch {name}"): name
        for name, service in services
        if isinstance(service, Fallible)
    }
    if not watches:
        await asyncio.Event().wait()
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for watch in watches:
            await _cancelled(watch)
    first = next(iter(done))
    error = first.exception() or first.result()
    raise ServiceFailed(f"the {watches[first]} cannot go on: {error}") from error


async def _first_of(work: asyncio.Task[None], signalled: Awaitable[None]) -> bool:
    """True when the work ended first (its error is raised), False when a signal came first."""
    waiting = asyncio.ensure_future(signalled)
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled(waiting)
    if not work.done():
        return False
    work.result()
    return True


async def _cancelled(task: "asyncio.Future[None] | asyncio.Task[BaseException] | None") -> None:
    """Cancel a task that still runs and wait for its end; what it raises then is of no interest."""
    if task is not None and not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


class _Signals:
    """The first SIGTERM or SIGINT sets an event; the next ends the process, with the shell's status for it."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    async def __aenter__(self) -> "_Signals":
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    async def wait(self) -> None:
        await self._came.wait()

    def _on_signal(self, number: int) -> None:
        if self._came.is_set():
            os._exit(128 + number)
        log.info("service.stopping", signal=signal.Signals(number).name)
        self._came.set()
