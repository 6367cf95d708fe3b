"""Says again what stays unanswered (ARCHITECTURE §1): every hint that was lost is found here in the store."""

from datetime import UTC, datetime

from services.hub.config import HubConfig
from services.hub.engine import Engine
from services.hub.items import Adopt, Advance
from services.hub.loop import Loop
from shared.bus import messages as m
from shared.bus.port import Bus
from shared.runs.events import Assigned, HostLost
from shared.store.port import HubStore

LIMIT = 500


class Sweep(Loop):
    """One slow look over everything that waits for somebody else's answer."""

    name = "sweep"

    def __init__(self, store: HubStore, engine: Engine, bus: Bus, config: HubConfig) -> None:
        super().__init__()
        self._store, self._engine, self._bus, self._config = store, engine, bus, config

    async def turn(self) -> float:
        """Every kind once."""
        await self._inbox()
        await self._unstarted()
        await self._unanswered()
        await self.lost_hosts()
        await self._pends()
        return self._config.sweep_seconds

    async def _inbox(self) -> None:
        """Triggers that the api kept while the broker was away."""
        await self._engine.submit([Adopt(trigger) for trigger in await self._store.inbox(LIMIT)])

    async def _unstarted(self) -> None:
        """Runs whose dispatcher's word was lost."""
        now = datetime.now(UTC)
        found = await self._store.unstarted(LIMIT)
        await self._engine.submit([Advance(ref, (Assigned(now, host, epoch),)) for ref, host, epoch in found])

    async def _unanswered(self) -> None:
        """Offers and stops that their host has not answered."""
        found = await self._store.unanswered(self._config.resend_seconds, LIMIT)
        await self._engine.submit([Advance(ref, resend=True) for ref in found])

    async def lost_hosts(self) -> None:
        """FLOWS N-11. Also called at once when somebody says that a host is gone."""
        now = datetime.now(UTC)
        found = await self._store.runs_on_lost_hosts(LIMIT)
        items = [Advance(ref, (HostLost(now, host, gone=deleted),)) for ref, host, deleted in found]
        await self._engine.submit(items)

    async def _pends(self) -> None:
        """Wake the dispatchers when something has pended for a while."""
        if await self._store.unannounced_pends(self._config.resend_seconds):
            await self._bus.publish([m.PendAdded(id="sweep/pend", at=datetime.now(UTC), run="")])
