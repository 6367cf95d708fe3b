"""One suite for every adapter: `store` is each of them in turn, empty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.store.port import Store
from shared.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite"])
def unstarted_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store")


@pytest.fixture
async def store(unstarted_store: Store) -> AsyncIterator[Store]:
    await unstarted_store.start(migrate=True)
    yield unstarted_store
    await unstarted_store.close()
