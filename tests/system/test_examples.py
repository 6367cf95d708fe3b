"""The examples run as their first lines say, through the `floe` command, on one process and on many."""

import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.deployed import FLOE, TOKEN, Deployed, cluster, up
from tests.waiting import wait_until_blocking

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
AGENTS = {"one": "linux,go", "two": "linux", "three": "docker"}


@pytest.fixture(params=["embedded", "cluster"], scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        deployed = up(directory)
        deployed.ready()
        yield from _stored(deployed)
        return
    postgres, rabbit = request.getfixturevalue("postgres"), request.getfixturevalue("rabbit")
    with postgres.fresh_database() as database, rabbit.fresh_vhost() as broker:
        yield from _stored(cluster(directory, database, broker, AGENTS))


def _stored(deployed: Deployed) -> Iterator[Deployed]:
    try:
        put = deployed.floe("flows", "put", *(str(path) for path in sorted(EXAMPLES.glob("*.yaml"))))
        assert put.returncode == 0, put.stderr
        yield deployed
    finally:
        deployed.stop_all()


def test_hello(house: Deployed) -> None:
    ran = house.floe("run", "hello", "--opt", "who=Ada; rm -rf /", "--follow")
    assert ran.returncode == 0, ran.stderr
    assert "[greet] Hello, Ada; rm -rf /!" in ran.stdout.splitlines()


def follow_ci(house: Deployed, *args: str) -> tuple[subprocess.Popen[str], str]:
    """Start the run, and wait until it asks for its sign-off or ends."""
    env = {**house.environment("client"), "FLOE_SERVER": house.address, "FLOE_TOKEN": TOKEN}
    before = newest(house)
    process = subprocess.Popen(
        [FLOE, "run", "ci", *args, "--follow"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    ref = wait_until_blocking(lambda: (ref := newest(house)) != before and ref, 20, "the run exists")

    def asks() -> bool:
        run = shown(house, ref)
        return run["phase"] == "archive" or "waiting" in [n["status"] for n in run["nodes"] if n["id"] == "sign-off"]

    wait_until_blocking(asks, 60, "the sign-off is asked for")
    return process, ref


def newest(house: Deployed) -> str:
    with house.client() as api:
        items = api.get("/runs", params={"flow": "ci", "limit": 1}).json()["items"]
    return str(items[0]["ref"]) if items else ""


def shown(house: Deployed, ref: str) -> dict[str, Any]:
    with house.client() as api:
        found: dict[str, Any] = api.get(f"/runs/{ref}").json()
    return found


@pytest.mark.parametrize(("answer", "status"), [("true", 0), ("false", 1)])
def test_ci_waits_for_its_sign_off_and_follows_it(house: Deployed, answer: str, status: int) -> None:
    process, ref = follow_ci(house)
    answered = house.floe("data", ref, "sign-off", f"good={answer}")
    assert answered.returncode == 0, answered.stderr
    output, _ = process.communicate(timeout=30)
    assert process.returncode == status, output
    nodes = {node["id"]: node for node in shown(house, ref)["nodes"]}
    for name in ("checkout", "fetch", "build", "unit-test", "style-test", "serve"):
        assert nodes[name]["result"] == "good", nodes[name]
    assert "[build] built main at" in output


def test_ci_with_a_broken_test_ends_bad(house: Deployed) -> None:
    process, ref = follow_ci(house, "--opt", "broken=true")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1, output
    told = house.floe("show", ref).stdout
    assert "unit-test" in told.splitlines()[1] or "unit-test" in "\n".join(told.splitlines()[:4]), told


def test_resources_exclude_each_other(house: Deployed) -> None:
    for flow in ("print-letters", "print-photos"):
        assert house.floe("run", flow).returncode == 0
    told = house.floe("pends").stdout
    assert "tag printer" in told, told

    def both() -> list[dict[str, Any]]:
        with house.client() as api:
            runs = api.get("/runs", params={"phase": "archive", "limit": 20}).json()["items"]
        found = [run for run in runs if run["flow"].startswith("print-")]
        return found if len(found) == 2 else []

    first, second = sorted(wait_until_blocking(both, 30, "both have printed"), key=lambda run: run["started_at"])
    assert [first["outcome"], second["outcome"]] == ["good", "good"]
    assert datetime.fromisoformat(first["ended_at"]) <= datetime.fromisoformat(second["started_at"])
