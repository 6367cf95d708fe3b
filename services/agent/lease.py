"""Until when tasks of runs that hold resource tags may run here (RELIABILITY §1), remembered beyond this process.

What was taken under a lease that has ended since is never started: by then the run may be lost, and its tags another's.
An agent that was killed and comes back has to know that, so the lease's end is on disk.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from services.agent.spawner.server import boot_ms


class Lease:
    """`until_ms` by the boot clock of the machine's start that `boot` names; None when none is known."""

    def __init__(self, path: Path, boot: str, clock: Callable[[], int] = boot_ms) -> None:
        self._path, self._boot, self._clock = path, boot, clock
        self.until_ms = self._read()

    @property
    def over(self) -> bool:
        """Nothing that needs it may start."""
        return self.until_ms is None or self._clock() >= self.until_ms

    def renew(self, until_ms: int) -> None:
        """It lasts until then. On a disk that refuses, the next process knows an earlier end, which is harmless."""
        self.until_ms = until_ms
        fresh = self._path.with_name(self._path.name + ".new")
        with suppress(OSError):
            fresh.write_text(f"{self._boot} {until_ms}")
            fresh.replace(self._path)

    def _read(self) -> int | None:
        try:
            boot, _, until_ms = self._path.read_text().partition(" ")
            return int(until_ms) if boot == self._boot else None
        except (OSError, ValueError):
            return None
