"""Deletes what is older than anyone wants to keep, in small batches."""

import asyncio

import structlog

from services.hub.config import HubConfig
from services.hub.loop import Loop
from shared.store.port import HubStore

log = structlog.get_logger()

LIMIT = 200
BREATH_SECONDS = 0.05


class Pruner(Loop):
    """Runs with their events and logs, and triggers, by age (FLOE_KEEP_RUNS_DAYS)."""

    name = "prune"

    def __init__(self, store: HubStore, config: HubConfig) -> None:
        super().__init__()
        self._store, self._config = store, config

    async def turn(self) -> float:
        """Delete until nothing is left that is too old, with a breath between two batches."""
        total = 0
        while True:
            gone = await self._store.prune(self._config.keep_runs_days, self._config.keep_triggers_days, LIMIT)
            total += gone
            if gone == 0:
                break
            await asyncio.sleep(BREATH_SECONDS)
        if total:
            log.info("hub.pruned", rows=total)
        return self._config.prune_seconds
