"""Until when tasks of runs that hold resource tags may run here (RELIABILITY §1), remembered beyond this process.

What was taken under a lease that has ended since is never started: by then the run may be lost, and its tags another's.
An agent that was killed and comes back has to know that, so the lease's end is on disk.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from services.agent.spawner.server import boot_ms

OFFERS_EXPIRE_MS = 10_000
"""So long an offer may wait in this host's queue (ARCHITECTURE §2)."""


class Lease:
    """`until_ms` by the boot clock of the machine's start that `boot` names; None when none is known."""

    def __init__(self, path: Path, boot: str, clock: Callable[[], int] = boot_ms) -> None:
        self._path, self._boot, self._clock = path, boot, clock
        self.until_ms = self._read()
        self._interrupted_ms: int | None = None
        """When it began anew after it had ended, if it did."""

    @property
    def over(self) -> bool:
        """Nothing that needs it may start."""
        return self.until_ms is None or self._clock() >= self.until_ms

    @property
    def trusts_offers(self) -> bool:
        """Whether an offer that needs it counts. What comes just after an interruption may have been made before it,
        for a run that is lost by now; if it still counts it is made again."""
        since = self._interrupted_ms
        return not self.over and (since is None or self._clock() - since > OFFERS_EXPIRE_MS)

    def renew(self, until_ms: int) -> None:
        """It lasts until then. On a disk that refuses, the next process knows an earlier end, which is harmless."""
        if self.over and self.until_ms is not None:
            self._interrupted_ms = self._clock()
        self.until_ms = until_ms
        self._write(until_ms)

    def _write(self, until_ms: int) -> None:
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
