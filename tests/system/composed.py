"""Runs docker-compose.yml without containers: its commands, environments and health checks as plain processes.

What a container would add is put in: the hosts `rabbitmq` and `postgres` become private servers, FLOE_ROOT a directory,
the api's port a free one, the container's host name FLOE_HOST. Everything else is the file's.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers import free_port
from tests.waiting import wait_until_blocking

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:[-?])([^}]*))?\})")
_FROM_OUTSIDE = ("rabbitmq", "postgres")


class Composed:
    """The services of the compose file under one directory. `up` waits as `depends_on` says; `down` ends them all."""

    def __init__(self, directory: Path, secrets: Mapping[str, str], servers: Mapping[str, str]) -> None:
        """`servers` maps the names of url settings to the private servers' urls."""
        self.services: dict[str, Any] = interpolate(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), secrets)[
            "services"
        ]
        self.port = free_port()
        self._directory, self._servers = directory, servers
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self, scale: Mapping[str, int]) -> None:
        """Start everything, each when what it depends on is as far as the file asks, then wait until all is healthy."""
        waiting = [name for name in self.services if name not in _FROM_OUTSIDE]
        while waiting:
            name = next(name for name in waiting if not set(self._needs(name)) & set(waiting))
            waiting.remove(name)
            for needed, condition in self._needs(name).items():
                self._await(needed, condition["condition"])
            for number in range(1, scale.get(name, 1) + 1):
                self._start(name, f"{name}-{number}")
        for replica in self._processes:
            if "healthcheck" in self.services[service_of(replica)]:
                self._await_healthy(replica)

    def stop(self, replica: str) -> int:
        """`docker stop`: SIGTERM, the file's grace period, the exit status."""
        process = self._processes.pop(replica)
        process.send_signal(signal.SIGTERM)
        return process.wait(seconds(self.services[service_of(replica)].get("stop_grace_period", "10s")))

    def down(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def log(self, replica: str) -> str:
        path = self._directory / f"{replica}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def environment(self, service: str, replica: str) -> dict[str, str]:
        """The file's environment and nothing of ours but the way to the programs."""
        given = {name: str(value) for name, value in self.services[service].get("environment", {}).items()}
        given |= {name: url for name, url in self._servers.items() if name in given}
        given |= {"FLOE_ROOT": str(self._directory / replica), "FLOE_HOST": replica}
        if "FLOE_BIND" in given:
            given["FLOE_BIND"] = f"127.0.0.1:{self.port}"
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return given | {"PATH": programs, "HOME": given["FLOE_ROOT"], "LANG": "C.UTF-8"}

    def _needs(self, name: str) -> dict[str, Any]:
        needs: dict[str, Any] = self.services[name].get("depends_on", {})
        return {needed: how for needed, how in needs.items() if needed not in _FROM_OUTSIDE}

    def _start(self, service: str, replica: str) -> None:
        (self._directory / replica).mkdir()
        with (self._directory / f"{replica}.log").open("ab") as log:
            self._processes[replica] = subprocess.Popen(
                self.services[service]["command"],
                env=self.environment(service, replica),
                cwd=self._directory / replica,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await(self, service: str, condition: str) -> None:
        replica = f"{service}-1"
        if condition == "service_healthy":
            self._await_healthy(replica)
            return
        if replica in self._processes:
            status = self._processes.pop(replica).wait(60)
            assert status == 0, f"{service} ended with {status}:\n{self.log(replica)}"

    def _await_healthy(self, replica: str) -> None:
        wait_until_blocking(lambda: self._healthy(replica), 60, f"{replica} is healthy:\n{self.log(replica)[-3_000:]}")

    def _healthy(self, replica: str) -> bool:
        process = self._processes[replica]
        assert process.poll() is None, f"{replica} ended with {process.returncode}:\n{self.log(replica)[-3_000:]}"
        return subprocess.run(self.health_command(replica), **self._quiet(replica), check=False).returncode == 0

    def health_command(self, replica: str) -> list[str]:
        kind, *rest = self.services[service_of(replica)]["healthcheck"]["test"]
        inside = [part.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}") for part in rest]
        return ["sh", "-c", *inside] if kind == "CMD-SHELL" else inside

    def _quiet(self, replica: str) -> dict[str, Any]:
        env = self.environment(service_of(replica), replica)
        return {"env": env, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def service_of(replica: str) -> str:
    return replica.rpartition("-")[0]


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """`${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$` as compose has them."""
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    return _VARIABLE.sub(lambda found: _replacement(found, variables), value) if isinstance(value, str) else value


def _replacement(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, rest = found.groups()
    if name is None:
        return "$"
    if variables.get(name):
        return variables[name]
    if kind == ":?":
        raise KeyError(f"{name}: {rest}")
    return rest or ""


def seconds(text: str) -> int:
    """`45s` or `11m`."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
