"""What the simulated store does to its callers: takes time, is away, conflicts, loses the answer to a commit."""

import asyncio

from shared.store.port import StoreConflict, StoreUnavailable
from tests.faults.sim.faults import Faults
from tests.faults.sim.loop import OWNER, VirtualLoop
from tests.faults.sim.store import Trouble


class StoreTrouble(Trouble):
    """For every process; the store is away until `down_until`."""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self.loop, self.faults = loop, faults
        self.down_until = 0.0

    async def at(self, point: str) -> None:
        """See Trouble."""
        faults = self.faults
        if not self._reachable():
            await asyncio.sleep(1.0)
            if not self._reachable():
                raise StoreUnavailable("the store cannot be reached")
        if point == "before":
            if faults.random.random() < 0.15:
                await asyncio.sleep(faults.latency())
            if faults.strikes("store_before"):
                raise StoreUnavailable("the connection was lost")
            return
        if faults.strikes("store_slow"):
            await asyncio.sleep(faults.delay())
        elif point in ("commit", "lock") and faults.random.random() < 0.5:
            await asyncio.sleep(faults.latency())
        if point == "commit" and faults.strikes("store_conflict"):
            raise StoreConflict("serialization failure")
        if point == "after" and faults.strikes("store_after"):
            raise StoreUnavailable("the answer to the commit was lost")

    def _reachable(self) -> bool:
        owner, now = OWNER.get(), self.loop.now
        return self.down_until <= now and (owner is None or owner.cut_until <= now)
