"""One suite for every adapter: `store` is each of them in turn, empty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.store.port import Store
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "postgres"])
def unstarted_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "store")
    return PostgresStore(request.getfixturevalue("fresh_database"), hub_host="h1")


@pytest.fixture
async def store(unstarted_store: Store) -> AsyncIterator[Store]:
    await unstarted_store.start(migrate=True)
    yield unstarted_store
    await unstarted_store.close()
