"""The dispatcher: matches pends to hosts, batch by batch, whenever something changed that may let one go."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from services.dispatcher.config import DispatcherConfig
from services.dispatcher.presence import Presence
from shared.bus import messages as m
from shared.bus.port import BEATS, DISPATCHER, Bus, Subscription
from shared.patience import set_within
from shared.placement import place
from shared.store.port import DispatcherStore, StoreConflict, StoreUnavailable

log = structlog.get_logger()


class DispatcherService:
    """Placement and presence. Any number may run: decisions are taken under the store's lock."""

    def __init__(
        self,
        bus: Bus,
        store: DispatcherStore,
        config: DispatcherConfig,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus, self._store, self._config = bus, store, config
        self._wake = asyncio.Event()
        self._presence = Presence(bus, store, config, self._wake, monotonic)
        self._tasks: list[asyncio.Task[None]] = []
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Begin to place and to listen to hosts."""
        self._subscriptions.append(await self._bus.subscribe(DISPATCHER, self._on_hints))
        self._subscriptions.append(await self._bus.subscribe(BEATS, self._presence.handle))
        self._tasks = [
            asyncio.create_task(self._place_for_ever(), name="dispatcher.place"),
            asyncio.create_task(self._presence.watch_for_ever(), name="dispatcher.presence"),
        ]
        self._wake.set()
        log.info("dispatcher.started", name=self._config.name)

    async def stop(self) -> None:
        """Finish what is in hand. Twice is harmless."""
        while self._subscriptions:
            await self._subscriptions.pop().stop()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        log.info("dispatcher.stopped", name=self._config.name)

    async def _on_hints(self, batch: Sequence[m.Message]) -> None:
        """Whatever they say, it means: look again."""
        if batch:
            self._wake.set()

    async def _place_for_ever(self) -> None:
        while True:
            await set_within(self._wake, self._config.sweep_seconds)
            self._wake.clear()
            try:
                if await self.place_once():
                    self._wake.set()
            except StoreConflict:
                self._wake.set()
            except StoreUnavailable as error:
                log.warning("dispatcher.store_away", error=str(error))
                await asyncio.sleep(0.5)
            except Exception:
                log.exception("dispatcher.placing_failed")
                await asyncio.sleep(1.0)

    async def place_once(self) -> bool:
        """One batch of decisions. Returns whether there may be more to decide at once."""
        async with self._store.placement() as tx:
            view = await tx.view(self._config.view_limit)
            wanted = place(view)
            epochs = await tx.assign(wanted) if wanted else {}
        now = datetime.now(UTC)
        hosts = {assignment.ref: assignment.host for assignment in wanted}
        await self._bus.publish(
            [
                m.RunAssigned(id=f"{ref}/assigned/{epoch}", at=now, run=ref, host=hosts[ref], epoch=epoch)
                for ref, epoch in epochs.items()
            ]
        )
        return len(view.pends) == self._config.view_limit and bool(epochs)
