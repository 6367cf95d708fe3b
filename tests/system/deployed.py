"""floe as real processes on loopback: one `floe up`, or one process per service. Started, killed and ended by pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.servers import free_port
from tests.waiting import wait_until_blocking

TOKEN = "test-token"
FLOE = str(Path(sys.executable).parent / "floe")


@dataclass
class Deployed:
    """Processes of floe by name. `base` is their environment beyond PATH; each has a root of its own."""

    directory: Path
    base: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _commands: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, name: str) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.directory)}
        return {**own, **self.base, "FLOE_ADMIN_TOKEN": TOKEN, "FLOE_ROOT": str(self.directory / name)}

    def start(self, name: str, *command: str) -> None:
        """Start it, or start it again the way it was started before."""
        self._commands[name] = command or self._commands[name]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [FLOE, *self._commands[name]],
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """kill -9, of this one process only."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """SIGTERM, and its exit status."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end within 30 s of SIGTERM:\n{self.log(name)}") from None

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def ready(self, name: str = "up") -> None:
        def answers() -> bool:
            process = self.processes[name]
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            try:
                return httpx.get(f"{self.address}/health/ready", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until_blocking(answers, 30, f"{name} is ready")

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"{self.address}/api/v1", headers=bearer, timeout=30) as api:
            yield api

    def floe(self, *args: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
        """A client command, in a pipe."""
        given = {**self.environment("client"), "FLOE_SERVER": self.address, "FLOE_TOKEN": TOKEN, **env}
        return subprocess.run(
            [FLOE, *args],
            env=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )


def up(directory: Path, *args: str, **env: str) -> Deployed:
    """`floe up` with its root under `directory`; not ready yet."""
    house = Deployed(directory, env)
    house.start("up", "up", "--bind", f"127.0.0.1:{house.port}", "--host", "h1", *args)
    return house


def cluster(directory: Path, database: str, broker: str, agents: Mapping[str, str], **env: str) -> Deployed:
    """1 api, 2 hubs, 2 dispatchers and these agents (name to tags), migrated and ready."""
    house = Deployed(directory, {"FLOE_DATABASE_URL": database, "FLOE_AMQP_URL": broker, **env})
    migrated = house.floe("migrate")
    assert migrated.returncode == 0, migrated.stderr
    house.start("api", "api", "--bind", f"127.0.0.1:{house.port}")
    for n in (1, 2):
        house.start(f"hub{n}", "hub", "--host", f"hub{n}")
        house.start(f"dispatcher{n}", "dispatcher", "--host", f"dispatcher{n}")
    for name, tags in agents.items():
        house.start(name, "agent", "--host", name, "--tags", tags)
    house.ready("api")
    with house.client() as api:
        wait_until_blocking(lambda: len(up_hosts(api)) == len(agents), 30, "all agents are up")
    return house


def up_hosts(api: httpx.Client) -> list[str]:
    return [agent["host"] for agent in api.get("/agents").json()["items"] if agent["state"] == "up"]


def put(api: httpx.Client, flow_id: str, text: str) -> None:
    answer = api.put(f"/flows/{flow_id}", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code in (200, 201), answer.text


def archived(api: httpx.Client) -> list[dict[str, Any]]:
    """Every archived run, by whatever number of pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get(
            "/runs", params={"phase": "archive", "limit": 100, **({"cursor": cursor} if cursor else {})}
        ).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def strays(marker: str) -> list[str]:
    """Command lines of processes that carry a text in their environment or arguments (what a test left behind)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if marker in line or marker in where:
            found.append(line)
    return found
