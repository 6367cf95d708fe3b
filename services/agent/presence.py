"""Says that this agent is there, and until when it may believe that the cluster thinks so (RELIABILITY §1)."""

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import structlog

from services.agent.config import AgentConfig
from services.agent.owned import Owned
from services.agent.spawner.server import boot_ms
from shared.bus.messages import Beat, BeatAnswered
from shared.bus.port import Bus

log = structlog.get_logger()

MARGIN_SECONDS = 30.0
"""So long before the host is lost, its exclusive tasks are killed."""


def lease_margin(lost_after_seconds: float) -> float:
    """Thirty seconds; half of it for settings too short for that."""
    return min(MARGIN_SECONDS, lost_after_seconds / 2)


class Presence:
    """Beats every few seconds. `load` gives (used, running), `keeps` the runs to ask about, `on_lease` gets the end
    of each new lease.

    `clock` is the boot clock in milliseconds, `free` the bytes that are free where a path is.
    """

    def __init__(
        self,
        bus: Bus,
        config: AgentConfig,
        installation: str,
        load: Callable[[], tuple[int, int]],
        keeps: Callable[[], Sequence[str]],
        on_lease: Callable[[int], None],
        clock: Callable[[], int] = boot_ms,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        self._clock, self._free = clock, free or disk_free
        self._bus, self._config, self._load, self._keeps, self._on_lease = bus, config, load, keeps, on_lease
        self.installation, self.incarnation = installation, token_hex(8)
        self.closing = False
        self.refused = ""
        self.lease_ms: int | None = None
        """Until when, by the boot clock, exclusive tasks may run; None before the first answer."""
        self._host_lease_ms: int | None = None
        self._number = 0
        self._owned = Owned("agent beats")

    async def start(self) -> None:
        """Beat for the first time, then go on."""
        self._owned.spawn(self._beat_for_ever())
        await asyncio.sleep(0)

    async def listening(self) -> None:
        """Answers can be heard from now on: beat again if the first one's was missed."""
        if self.lease_ms is None and not self.closing:
            await self._beat()

    async def stop(self) -> None:
        """Say that it takes nothing more, and beat no more."""
        await self._owned.stop()
        await self._beat(leaving=True)

    def answered(self, answer: BeatAnswered) -> None:
        """Take an answer: the lease runs from the sending of the beat that it answers."""
        if answer.incarnation != self.incarnation:
            return
        if answer.refused:
            if answer.refused != self.refused:
                log.error("agent.refused", host=self._config.host, why=answer.refused)
            self.refused = answer.refused
            return
        if self.refused:
            log.warning("agent.taken_again", host=self._config.host)
        self.refused = ""
        until = answer.sent_ms + int((answer.lost_after_seconds - lease_margin(answer.lost_after_seconds)) * 1000)
        self._host_lease_ms = max(self._host_lease_ms or 0, answer.sent_ms + int(answer.lost_after_seconds * 1000))
        if self.lease_ms is None or until > self.lease_ms:
            self.lease_ms = until
            self._on_lease(until)

    def may_take(self, *, exclusive: bool) -> bool:
        """Whether an offer counts: one that waited while this process was paused may be another host's by now."""
        if self.closing or self.refused or self._disk_low():
            return False
        now = self._clock()
        if exclusive:
            return self.lease_ms is not None and now < self.lease_ms
        return self._host_lease_ms is None or now < self._host_lease_ms

    async def _beat_for_ever(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(self._config.beat_seconds)

    async def _beat(self, *, leaving: bool = False) -> None:
        self._number += 1
        used, running = self._load()
        free = self._free(self._config.root)
        beat = Beat(
            id=f"{self._config.host}/{self.incarnation}/{self._number}",
            at=datetime.now(UTC),
            host=self._config.host,
            installation=self.installation,
            incarnation=self.incarnation,
            number=self._number,
            sent_ms=self._clock(),
            tags=self._config.tags,
            slots=0 if self.closing or free < self._config.disk_floor_bytes else self._config.slots,
            used=used,
            running=running,
            version=self._config.version,
            ephemeral=self._config.ephemeral,
            leaving=leaving,
            disk_free_bytes=free,
            keeps=self._keeps(),
        )
        try:
            async with asyncio.timeout(self._config.beat_seconds):
                await self._bus.publish([beat])
        except TimeoutError:
            log.warning("agent.beat_hung", host=self._config.host)
        except Exception as error:
            log.warning("agent.beat_failed", host=self._config.host, error=str(error))

    def _disk_low(self) -> bool:
        return self._free(self._config.root) < self._config.disk_floor_bytes


def disk_free(path: Path) -> int:
    """Bytes that an ordinary user may still write there."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def installation_of(root: Path) -> str:
    """The id that belongs to this root, made once. Raises OSError."""
    path = root / "installation"
    try:
        if found := path.read_text().strip():
            return found
    except FileNotFoundError:
        pass
    made = token_hex(16)
    fresh = path.with_name("installation.new")
    with fresh.open("w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    return made


def boot_id() -> str:
    """Names this start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
