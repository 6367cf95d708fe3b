"""A small run of the simulation with every `make test`; `make simulate SEEDS=20000` is the real one."""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.faults.sim.__main__ import see, see_all

WORLDS = 200
STORY = "from tests.faults.sim.test_simulation import story; print(story(int('{seed}')))"


def test_nothing_is_violated_in_two_hundred_worlds() -> None:
    bad = {seen.seed: seen.violations for seen in see_all(range(WORLDS), None) if seen.violations}
    assert bad == {}, f"again: make simulate SEED={min(bad)}"


def story(seed: int) -> str:
    """What happened in a world, in short."""
    seen = see(seed)
    return hashlib.sha256(repr((sorted(seen.faults.items()), seen.violations, seen.story)).encode()).hexdigest()


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_is_the_same_world_in_every_process(seed: int) -> None:
    """Also where strings hash otherwise."""
    for salt in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": salt}
        command = [sys.executable, "-c", STORY.format(seed=seed)]
        found = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
        assert found.stdout.strip() == story(seed)


@pytest.mark.parametrize("fault", ["dedupe", "sweep", "ack", "atomic"])
def test_a_planted_fault_is_found(fault: str) -> None:
    """The quick ones; `make simulate FAULT=...` has them all."""
    assert any(see(seed, fault).violations for seed in range(100))
