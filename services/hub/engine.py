"""The hub's one loop over the store: whatever is to be adopted or advanced goes through here, in batches.

Everything that waits is taken at once, stepped, written in one transaction and only then told to others. What another
hub holds, and what fails, is tried again alone, so that one bad run never holds up its neighbours. A caller gets its
answer when its item is committed: then it may acknowledge.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from services.hub.batch import Batch
from services.hub.config import HubConfig
from services.hub.items import Advance, Item, Poison
from services.hub.knowledge import Knowledge
from shared.bus.port import Bus
from shared.remembered import Remembered
from shared.runs.refs import RunRef
from shared.store.port import HubStore, StoreConflict, StoredRun, StoreUnavailable

log = structlog.get_logger()

CACHED_RUNS = 5_000


@dataclass(eq=False, slots=True)
class _Entry:
    item: Item
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Engine:
    """Adopt and advance. `submit` from anywhere in the loop; `start` and `close` once each."""

    def __init__(self, bus: Bus, store: HubStore, config: HubConfig) -> None:
        self._bus, self._store, self._config = bus, store, config
        self._knowledge = Knowledge(store, config.task_timeout_seconds)
        self._cache: Remembered[RunRef, StoredRun] = Remembered(CACHED_RUNS)
        self._waiting: list[_Entry] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.timers_changed = asyncio.Event()

    def start(self) -> None:
        """Begin to take items."""
        self._task = asyncio.create_task(self._run(), name="hub.engine")

    async def close(self) -> None:
        """Stop between two batches. What waits is given up (its sender will say it again)."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for entry in self._waiting:
            entry.done.cancel()

    async def submit(self, items: Sequence[Item]) -> list[Poison | None]:
        """Commit these items. Returns for each None, or why it can never be handled. Retries all else for ever."""
        if not items:
            return []
        entries = [_Entry(item) for item in items]
        self._waiting.extend(entries)
        self._wake.set()
        results = await asyncio.gather(*(entry.done for entry in entries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Poison):
                raise result
        return [result if isinstance(result, Poison) else None for result in results]

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                entries = self._waiting[: self._config.batch]
                del self._waiting[: len(entries)]
                await self._handle(entries)

    async def _handle(self, entries: list[_Entry]) -> None:
        try:
            again = await self._commit(entries)
        except StoreUnavailable as error:
            if not isinstance(error, StoreConflict):
                log.warning("hub.store_away", error=str(error), waiting=len(entries))
                await asyncio.sleep(0.5)
            await self._one_by_one(entries)
        except Exception as error:
            log.exception("hub.batch_failed", items=len(entries))
            if len(entries) == 1:
                _fail(entries[0], error)
            else:
                await self._one_by_one(entries)
        else:
            self._later(again)

    async def _one_by_one(self, entries: list[_Entry]) -> None:
        if len(entries) == 1:
            self._later(entries)
            return
        for entry in entries:
            await self._handle([entry])

    def _later(self, entries: Iterable[_Entry]) -> None:
        """Another transaction holds these: try again in a moment."""
        entries = list(entries)
        if entries:
            asyncio.get_running_loop().call_later(0.02, self._put_back, entries)

    def _put_back(self, entries: list[_Entry]) -> None:
        self._waiting.extend(entries)
        self._wake.set()

    async def _commit(self, entries: list[_Entry]) -> list[_Entry]:
        """One transaction. Returns the entries that could not be worked on because another hub holds their runs."""
        advances = [e.item for e in entries if isinstance(e.item, Advance)]
        async with self._store.transaction() as tx:
            refs = {item.run for item in advances}
            known = {ref: run for ref in refs if (run := self._cache.get(ref)) is not None}
            locked = await tx.lock_runs(refs, known) if refs else None
            batch = Batch(tx, self._knowledge, self._config, locked)
            for entry in entries:
                await batch.take(entry.item)
            await batch.write()
        self._remember(batch, refs)
        await self._tell(batch, tx.now)
        return self._answer(entries, batch)

    def _remember(self, batch: Batch, refs: set[RunRef]) -> None:
        for ref in refs:
            self._cache.drop(ref)
        for ref, stored in batch.to_cache():
            self._cache.put(ref, stored)

    async def _tell(self, batch: Batch, at: datetime) -> None:
        if batch.set_timers:
            self.timers_changed.set()
        try:
            await self._bus.publish(list(batch.hints(at)))
        except Exception:
            log.exception("hub.hints_lost")  # committed all the same: the sweep says them again

    def _answer(self, entries: list[_Entry], batch: Batch) -> list[_Entry]:
        again = []
        for entry in entries:
            poison = batch.poison.get(id(entry.item))
            if poison is not None:
                _fail(entry, poison)
            elif isinstance(entry.item, Advance) and entry.item.run in batch.held:
                again.append(entry)
            elif not entry.done.done():
                entry.done.set_result(None)
        return again


def _fail(entry: _Entry, error: Exception) -> None:
    if not entry.done.done():
        entry.done.set_exception(error if isinstance(error, Poison) else Poison(f"{type(error).__name__}: {error}"))
