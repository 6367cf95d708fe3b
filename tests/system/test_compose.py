"""docker-compose.yml does what it says: its very commands and environments run a flow, on two agents."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.servers.machine import processes_of
from tests.system.composed import ROOT, Composed, interpolate, seconds
from tests.waiting import wait_until_blocking

SECRETS = {"POSTGRES_PASSWORD": "pg-secret", "RABBITMQ_PASSWORD": "mq-secret", "FLOE_ADMIN_TOKEN": "admin-secret"}
# One slot each, so that two runs that wait for each other need both agents.
CHOICES = {**SECRETS, "FLOE_SLOTS": "1"}
FLOW = """
id: composed
env: ["MEETING=%s"]
triggers: [{id: start, type: data}]
tasks:
  - id: meet
    listen: trigger.good
    type: exec
    opts:
      shell: |
        touch "$MEETING/$FLOE_RUN"
        until [ "$(ls "$MEETING" | wc -l)" -ge 2 ]; do sleep 0.05; done
        echo "$FLOE_RUN was not alone"
  - {id: done, listen: task.meet.good, type: end}
"""


@pytest.fixture
def composed(tmp_path: Path, fresh_database: str, fresh_vhost: str) -> Iterator[Composed]:
    servers = {"FLOE_DATABASE_URL": fresh_database, "FLOE_AMQP_URL": fresh_vhost}
    deployment = Composed(tmp_path, CHOICES, servers)
    try:
        yield deployment
    finally:
        deployment.down()


def test_its_commands_run_a_flow_on_two_agents(composed: Composed, tmp_path: Path) -> None:
    composed.up(scale={"agent": 2})
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    bearer = {"Authorization": f"Bearer {SECRETS['FLOE_ADMIN_TOKEN']}"}
    with httpx.Client(base_url=f"{composed.address}/api/v1", headers=bearer, timeout=60) as api:
        stored = api.put("/flows/composed", content=FLOW % meeting, headers={"Content-Type": "application/yaml"})
        assert stored.status_code == 201, stored.text

        refs = [start(api), start(api)]
        runs = [ended(api, ref) for ref in refs]

        assert [run["outcome"] for run in runs] == ["good", "good"]
        assert sorted(run["host"] for run in runs) == ["agent-1", "agent-2"]
        for ref in refs:
            log = api.get(f"/runs/{ref}/nodes/meet/log").text
            assert log.endswith(f"{ref} was not alone\n"), log


def test_what_is_stopped_ends_in_order_and_leaves_no_process(composed: Composed, tmp_path: Path) -> None:
    composed.up(scale={"agent": 2})
    for replica in ("agent-2", "agent-1", "dispatcher-1", "hub-1", "api-1"):
        assert composed.stop(replica) == 0, composed.log(replica)[-3_000:]
    assert processes_of(tmp_path) == []


def start(api: httpx.Client) -> str:
    answer = api.post("/flows/composed/runs", params={"wait": "adopted", "timeout": 30}, json={"opts": {}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["runs"][0]["ref"])


def ended(api: httpx.Client, ref: str) -> dict[str, Any]:
    def archived() -> dict[str, Any] | None:
        run: dict[str, Any] = api.get(f"/runs/{ref}").raise_for_status().json()
        return run if run["phase"] == "archive" else None

    return wait_until_blocking(archived, 60, f"{ref} is archived")


def test_the_agent_has_no_way_to_the_database(described: Composed) -> None:
    assert "FLOE_DATABASE_URL" not in described.services["agent"]["environment"]
    assert described.services["agent"]["build"]["target"] == "agent"


def test_services_and_servers_agree_on_hosts_users_and_passwords(described: Composed) -> None:
    postgres = described.services["postgres"]["environment"]
    rabbitmq = described.services["rabbitmq"]["environment"]
    for service in described.services.values():
        for name, url in service.get("environment", {}).items():
            parts = urlsplit(str(url))
            if name == "FLOE_DATABASE_URL":
                assert (parts.hostname, parts.path) == ("postgres", "/" + postgres["POSTGRES_DB"])
                assert (parts.username, parts.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"])
            if name == "FLOE_AMQP_URL":
                wanted = (rabbitmq["RABBITMQ_DEFAULT_USER"], rabbitmq["RABBITMQ_DEFAULT_PASS"])
                assert (parts.hostname, parts.path) == ("rabbitmq", "/%2F")
                assert (parts.username, parts.password) == wanted


def test_only_the_api_is_published_and_only_here(described: Composed) -> None:
    published = {name: service["ports"] for name, service in described.services.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8080:8080"]}


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_no_secret_has_a_default(missing: str, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"make-env\.sh"):
        Composed(tmp_path, {name: value for name, value in SECRETS.items() if name != missing}, {})


def test_an_agents_grace_period_covers_its_drain(described: Composed) -> None:
    agent = described.services["agent"]
    drain = sum(int(agent["environment"][name]) for name in ("FLOE_DRAIN_SECONDS", "FLOE_GRACE_SECONDS"))
    assert seconds(agent["stop_grace_period"]) > drain


def test_make_env_writes_what_the_file_asks_for(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "make-env.sh"
    script.write_bytes((ROOT / "deploy" / "make-env.sh").read_bytes())
    subprocess.run(["bash", script], check=True, capture_output=True)
    written = tmp_path / ".env"
    given = dict(line.split("=", 1) for line in written.read_text().splitlines() if re.match(r"\w+=", line))
    interpolate((ROOT / "docker-compose.yml").read_text(), given)
    assert written.stat().st_mode & 0o077 == 0
    assert subprocess.run(["bash", script], check=False, capture_output=True).returncode == 1, "it keeps an old .env"


def test_the_image_is_built_from_files_that_reach_the_engine() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    copied = [path for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for path in line.split()[:-1]]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    assert [path for path in copied if not (ROOT / path).exists() or path not in let_through] == []


@pytest.fixture
def described(tmp_path: Path) -> Composed:
    return Composed(tmp_path, SECRETS, {})
