"""A loop of a service: runs its body again and again until it is closed, whatever the body raises."""

import asyncio
from contextlib import suppress

import structlog

from shared.store.port import StoreUnavailable

log = structlog.get_logger()


class Loop:
    """Subclasses say what one `turn` is and how long to wait after it."""

    name = "loop"

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin turning."""
        self._task = asyncio.create_task(self._run(), name=f"hub.{self.name}")

    async def close(self) -> None:
        """Stop now. Twice is harmless."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def turn(self) -> float:
        """Do it once; returns the seconds to wait. Any error, as of a store that is away, is logged and survived."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Wait between two turns; a subclass may be woken earlier."""
        await asyncio.sleep(seconds)

    async def _run(self) -> None:
        while True:
            try:
                seconds = await self.turn()
            except StoreUnavailable as error:
                log.warning("hub.store_away", loop=self.name, error=str(error))
                seconds = 1.0
            except Exception:
                log.exception("hub.loop_failed", loop=self.name)
                seconds = 1.0
            await self.pause(seconds)
