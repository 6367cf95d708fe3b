"""Nothing is lost when floe dies: kill -9 in the middle of fifty mixed runs, and every run ends, nothing runs twice."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.deployed import Deployed, archived, cluster, put, strays, up
from tests.system.mixed import NAMES, Evidence
from tests.waiting import wait_until_blocking

RUNS = 50
KILLS = 5


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path / "evidence")


def start_all(api: httpx.Client, evidence: Evidence) -> set[str]:
    """Start fifty runs of mixed flows; each was accepted with a trigger id of its own."""
    for name in NAMES:
        put(api, name, evidence.definition(name))
    ids = set()
    for i in range(RUNS):
        answer = api.post(f"/flows/{NAMES[i % len(NAMES)]}/runs", json={"opts": {"i": i}})
        assert answer.status_code == 202, answer.text
        ids.add(answer.json()["trigger_id"])
    assert len(ids) == RUNS
    return ids


def finished(house: Deployed) -> int:
    try:
        with house.client() as api:
            return len(archived(api))
    except httpx.HTTPError:
        return 0


def test_floe_up_killed_five_times(tmp_path: Path, evidence: Evidence) -> None:
    house = up(tmp_path, "--slots", "6")
    try:
        house.ready()
        with house.client() as api:
            ids = start_all(api, evidence)
        for kill in range(KILLS):
            wanted = (kill + 1) * RUNS // (KILLS + 2)
            wait_until_blocking(lambda wanted=wanted: finished(house) >= wanted, 60, f"{wanted} runs ended")
            house.kill("up")
            house.start("up")
            house.ready()
        wait_until_blocking(lambda: finished(house) == RUNS, 120, "every run is archived")
        with house.client() as api:
            runs = archived(api)
        assert {run["trigger_id"] for run in runs} == ids
        evidence.check(runs)
        assert house.stop("up") == 0
    finally:
        house.stop_all()
    wait_until_blocking(lambda: not strays(str(tmp_path)), 15, "no process is left")


@pytest.fixture
def two_agents(tmp_path: Path, fresh_database: str, fresh_vhost: str) -> Iterator[Deployed]:
    house = cluster(tmp_path, fresh_database, fresh_vhost, {"one": "linux", "two": "linux"})
    try:
        yield house
    finally:
        house.stop_all()


def test_hub_dispatcher_and_agent_killed_once_each(two_agents: Deployed, evidence: Evidence, tmp_path: Path) -> None:
    house = two_agents
    with house.client() as api:
        ids = start_all(api, evidence)
    for i, victim in enumerate(("hub1", "dispatcher1", "one")):
        wanted = (i + 1) * 8
        wait_until_blocking(lambda wanted=wanted: finished(house) >= wanted, 60, f"{wanted} runs ended")
        house.kill(victim)
        house.start(victim)
    wait_until_blocking(lambda: finished(house) == RUNS, 120, "every run is archived")
    with house.client() as api:
        runs = archived(api)
    assert {run["trigger_id"] for run in runs} == ids
    evidence.check(runs)
    house.stop_all()
    wait_until_blocking(lambda: not strays(str(tmp_path)), 15, "no process is left")
