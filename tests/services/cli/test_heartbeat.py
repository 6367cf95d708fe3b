"""`floe health SERVICE` knows whether a service on this machine is alive."""

import time
from pathlib import Path

import pytest

from services.cli.heartbeat import STALE_SECONDS, Heartbeat, age_seconds, health_file
from tests.services.cli.conftest import Floe

pytestmark = pytest.mark.anyio


async def test_a_service_that_runs_is_alive(tmp_path: Path) -> None:
    beat = Heartbeat(tmp_path, "hub")
    await beat.start()
    age = age_seconds(tmp_path, "hub")
    assert age is not None
    assert age < 5
    await beat.stop()
    await beat.stop()
    assert age_seconds(tmp_path, "hub") is None


def test_no_sign_and_an_old_sign_are_code_1(floe: Floe, tmp_path: Path) -> None:
    assert floe("health", "hub").code == 1
    file = health_file(tmp_path, "hub")
    file.parent.mkdir()
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    file.write_text(f"{now - STALE_SECONDS - 1} 1\n")
    ran = floe("health", "hub")
    assert ran.code == 1
    assert "last sign of life 21 s ago" in ran.err
    file.write_text(f"{now} 1\n")
    assert floe("health", "hub").code == 0
    file.write_text("")
    assert floe("health", "hub").code == 1
