"""A sign of life on this machine: a service touches `ROOT/health/NAME` every 5 s, `floe health NAME` looks at its age.

The time in the file is of the machine's boot clock, which nobody sets.
"""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

BEAT_SECONDS = 5.0
STALE_SECONDS = 20.0


class Heartbeat:
    """A service (`lifecycle.Service`) that beats as long as the event loop turns."""

    def __init__(self, root: Path, name: str) -> None:
        self._file = health_file(root, name)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError when the root cannot be written."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._beat()
        self._task = asyncio.create_task(self._beat_for_ever(), name="heartbeat")

    async def stop(self) -> None:
        """Take the sign away."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._file.unlink(missing_ok=True)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(OSError):
                self._beat()

    def _beat(self) -> None:
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        fresh.write_text(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f} {os.getpid()}\n")
        fresh.replace(self._file)


def health_file(root: Path, name: str) -> Path:
    """Where a service's sign of life is."""
    return root / "health" / name


def age_seconds(root: Path, name: str) -> float | None:
    """How old the last sign is; None when there is none."""
    try:
        beat = float(health_file(root, name).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - beat)
