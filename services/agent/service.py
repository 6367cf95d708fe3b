"""The agent: takes offers for one host, and makes sure that each becomes at most one process and exactly one end.

Reads only its own root and what comes over the bus (ARCHITECTURE §2). What it does with an offer is `work`, how
processes live is `spawner`, what the cluster knows of this host is `presence`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from services.agent import taking
from services.agent.config import AgentConfig
from services.agent.owned import Owned
from services.agent.presence import Presence, installation_of
from services.agent.removing import remove_all
from services.agent.spawner.server import boot_ms
from services.agent.work import Work
from shared.bus import messages as m
from shared.bus.port import Bus, Subscription, agent_queue
from shared.errors import Unavailable

__all__ = ["AgentConfig", "AgentService"]

log = structlog.get_logger()

OFFER_SECONDS = 5.0
_START_SECONDS = 5.0
_STOP_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_CLEAN_SECONDS = 0.5
_PRUNE_SECONDS = 60.0
_SETTLE_SECONDS = 15.0


class AgentService:
    """One agent on one root. `start` and `stop` may each be called once more without harm."""

    def __init__(self, bus: Bus, config: AgentConfig, clock: Callable[[], int] = boot_ms) -> None:
        self._bus, self._config, self._clock = bus, config, clock
        self._owned = Owned("agent")
        self._lock: taking.RootLock | None = None
        self._work: Work | None = None
        self._presence: Presence | None = None
        self._subscription: Subscription | None = None
        self._consuming = asyncio.Event()

    async def start(self) -> None:
        """Take up what an earlier life left, beat, and consume. A bus that hangs is waited for 5 s, then in the
        background.

        Raises ConfigurationError when another agent works in this root, SpawnerError when tasks cannot be started.
        """
        if self._lock is not None:
            return
        self._lock = taking.RootLock(self._config.root)
        installation = installation_of(self._config.root)
        work = self._work = Work(self._bus, self._config, installation)
        surplus = work.workspaces.surplus
        self._presence = Presence(self._bus, self._config, installation, self._load, surplus, work.floor.lease)
        await work.start()
        await self._presence.start()
        self._owned.spawn(self._consume())
        self._owned.spawn(self._clean_for_ever())
        self._owned.spawn(self._prune_for_ever())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await self._consuming.wait()
        log.info("agent.started", host=self._config.host, root=str(self._config.root), unsettled=len(work.activations))

    async def stop(self) -> None:
        """Take no offer more, send what is in hand. Tasks go on under the spawner, and the next agent in this root
        takes them up; an ephemeral agent waits for them first, up to `drain_seconds`, then stops them."""
        if self._lock is None:
            return
        work, presence = self._work, self._presence
        if presence:
            presence.closing = True
        if work and presence and self._config.ephemeral:
            await self._drain(work)
        if presence:
            await presence.stop()
        if self._subscription:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._subscription.stop()
        await self._owned.stop()
        if work:
            await work.stop()
        self._lock.release()
        self._lock = self._work = self._presence = self._subscription = None
        log.info("agent.stopped", host=self._config.host)

    @property
    def spawner_pid(self) -> int:
        """The spawner's process; 0 when there is none."""
        return self._work.floor.spawner_pid if self._work else 0

    async def _drain(self, work: Work) -> None:
        log.info("agent.draining", live=len(work.live()), seconds=self._config.drain_seconds)
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                await work.wait_idle()
        except TimeoutError:
            work.end_all()
        try:
            async with asyncio.timeout(self._config.grace_seconds + _SETTLE_SECONDS):
                await work.wait_idle()
                await work.wait_settled()
        except TimeoutError:
            log.warning("agent.left_unsettled", count=len(work.activations))

    def _load(self) -> tuple[int, int]:
        assert self._work is not None
        return len(self._work.busy_runs()), len(self._work.floor.running)

    async def _consume(self) -> None:
        while True:
            try:
                self._subscription = await self._bus.subscribe(agent_queue(self._config.host), self._handle)
            except Unavailable as error:
                log.error("agent.not_consuming", host=self._config.host, error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._consuming.set()
                assert self._presence is not None
                await self._presence.listening()
                return

    async def _handle(self, batch: Sequence[m.Message]) -> None:
        """In order, where order matters: a stop that came before an offer forbids it."""
        assert self._work is not None
        assert self._presence is not None
        received_ms = self._clock()
        offers: list[m.TaskOffered] = []
        for message in batch:
            match message:
                case m.TaskOffered():
                    offers.append(message)
                case m.StopRequested():
                    self._take(offers, received_ms)
                    offers = []
                    self._work.stop_requested(message)
                case m.ReportSettled():
                    self._work.reports_settled(message)
                case m.OutputSettled():
                    self._work.output_settled(message)
                case m.BeatAnswered():
                    self._presence.answered(message)
                    if message.ended:
                        self._owned.spawn(self._work.workspaces.remove_ended(message.ended))
                case _:
                    log.warning("agent.message_unexpected", type=type(message).__name__)
        self._take(offers, received_ms)

    def _take(self, offers: list[m.TaskOffered], received_ms: int) -> None:
        """Those that still count: an offer that is not journaled within 5 s is somebody else's business by now."""
        assert self._work is not None
        assert self._presence is not None
        mine = [offer for offer in offers if offer.host == self._config.host and taking.fits(offer)]
        wanted = [offer for offer in mine if self._may_take(offer)]
        if len(wanted) < len(offers):
            log.warning("agent.offers_not_taken", count=len(offers) - len(wanted))
        if wanted and self._clock() - received_ms <= OFFER_SECONDS * 1000:
            self._work.offered(wanted)

    def _may_take(self, offer: m.TaskOffered) -> bool:
        assert self._work is not None
        assert self._presence is not None
        trusted = not offer.exclusive or self._work.floor.trusts_offers
        return trusted and self._presence.may_take(exclusive=offer.exclusive)

    async def _clean_for_ever(self) -> None:
        """Remove what the spawner kept of activations that are settled, and note what the disk refused before."""
        assert self._work is not None
        while True:
            await asyncio.sleep(_CLEAN_SECONDS)
            self._work.write_again()
            garbage, self._work.garbage[:] = list(self._work.garbage), []
            if garbage:
                await asyncio.to_thread(remove_all, garbage)

    async def _prune_for_ever(self) -> None:
        assert self._work is not None
        while True:
            try:
                await self._work.prune()
            except OSError as error:
                log.warning("agent.not_pruned", error=str(error))
            await asyncio.sleep(_PRUNE_SECONDS)
