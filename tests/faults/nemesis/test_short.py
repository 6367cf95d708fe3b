"""The nemesis in short: one cycle in which each kind of service, the broker and the database are killed once."""

import random
from collections.abc import Iterator

import pytest

from tests.faults.nemesis.cycles import Nemesis, Plan
from tests.faults.nemesis.kinds.fault import Fault
from tests.faults.nemesis.kinds.processes import kill_one
from tests.faults.nemesis.world import World
from tests.servers.postgres import find_binaries as postgres_binaries
from tests.servers.rabbit import find_binaries as rabbit_binaries

VICTIMS = ("hub1", "dispatcher1", "one", "api", "database", "broker")

pytestmark = pytest.mark.skipif(
    not (postgres_binaries() and rabbit_binaries()), reason="it kills servers: it needs binaries of its own"
)


@pytest.fixture
def nemesis() -> Iterator[Nemesis]:
    made = Nemesis(Plan(seed=1, codes=("X1",)))
    try:
        made.world.start()
        yield made
    finally:
        made.close()


def kill_each(world: World, rng: random.Random) -> str:
    return ", ".join(kill_one(world, victim, 0.3) for victim in VICTIMS)


def test_every_kind_of_process_is_killed_once_and_nothing_is_lost(nemesis: Nemesis) -> None:
    nemesis.cycle(0, [Fault("X1", "kill -9 of each", kill_each)])
    nemesis.close()
    assert nemesis.violations == []
    assert nemesis.figures.runs > 10
    assert len(nemesis.evidence.doings) > 10
