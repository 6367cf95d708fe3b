"""A running house per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.bus.memory import MemoryBus
from shared.store.sqlite import SqliteStore
from tests.services.hub.house import House, make_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store, bus = SqliteStore(tmp_path), MemoryBus()
    await store.start(migrate=True)
    await bus.start()
    house = make_house(store, bus)
    await house.hub.start()
    await house.dispatcher.start()
    await house.puppet.start()
    yield house
    await house.dispatcher.stop()
    await house.hub.stop()
    await bus.close()
    await store.close()
