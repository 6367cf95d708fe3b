"""The store of the simulation keeps what every store promises: the suite of the adapters, for this one."""

import pytest

from tests.faults.sim.store import MemoryStore
from tests.store.test_flows import *  # noqa: F403
from tests.store.test_hub import *  # noqa: F403
from tests.store.test_output import *  # noqa: F403
from tests.store.test_placement import *  # noqa: F403
from tests.store.test_prune import *  # noqa: F403
from tests.store.test_reading import *  # noqa: F403
from tests.store.test_sweep import *  # noqa: F403

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
