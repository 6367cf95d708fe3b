"""The same servers from a container engine, for machines without the binaries. Same faces, same promises."""

import shutil
import subprocess
import uuid
from abc import ABC, abstractmethod
from pathlib import Path

from tests.servers import machine
from tests.servers.postgres import Databases
from tests.servers.rabbit import Orders, speaks_amqp

POSTGRES_IMAGE = "docker.io/library/postgres:15-alpine"
RABBIT_IMAGE = "docker.io/library/rabbitmq:3.13-alpine"


def find_engine() -> str | None:
    """The command of a container engine that answers, or None."""
    for name in ("docker", "podman"):
        found = shutil.which(name)
        if found and _run(found, "info", check=False).returncode == 0:
            return found
    return None


class Container(ABC):
    """One container with one published port; `stop`, `kill` and `restart` keep data and port."""

    def __init__(self, engine: str, image: str, inner_port: int, env: dict[str, str]) -> None:
        self._engine, self._image, self._inner_port, self._env = engine, image, inner_port, env
        self.port = machine.free_port()
        self.name = f"floe-test-{uuid.uuid4().hex[:12]}"
        self._made = False

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        if self._made:
            _run(self._engine, "start", self.name)
            return
        env = [part for name, value in self._env.items() for part in ("-e", f"{name}={value}")]
        publish = f"127.0.0.1:{self.port}:{self._inner_port}"
        self._made = True
        _run(self._engine, "run", "-d", "--name", self.name, "-p", publish, *env, self._image, timeout=600)

    def wait_ready(self, timeout: float = 120.0) -> None:
        machine.wait_for_start(self._image, None, self.answers, Path("/nonexistent"), timeout)

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server inside takes clients."""

    def stop(self) -> None:
        _run(self._engine, "stop", self.name)

    def kill(self) -> None:
        _run(self._engine, "kill", self.name)

    def restart(self, *, kill: bool = False) -> None:
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def pause(self) -> None:
        _run(self._engine, "pause", self.name)

    def resume(self) -> None:
        _run(self._engine, "unpause", self.name)

    def close(self) -> None:
        _run(self._engine, "rm", "-f", "-v", self.name, check=False)

    def inside(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return _run(self._engine, "exec", self.name, *command, check=check)


class ContainerPostgres(Container, Databases):
    def __init__(self, engine: str) -> None:
        env = {"POSTGRES_USER": "floe", "POSTGRES_HOST_AUTH_METHOD": "trust"}
        Container.__init__(self, engine, POSTGRES_IMAGE, 5432, env)
        Databases.__init__(self, f"postgresql://floe@127.0.0.1:{self.port}/postgres")

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, TimeoutError, RuntimeError):
            return False
        return True


class ContainerRabbit(Container, Orders):
    def __init__(self, engine: str) -> None:
        Container.__init__(self, engine, RABBIT_IMAGE, 5672, {})
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def answers(self) -> bool:
        return speaks_amqp(self.port)

    def evaluate(self, expression: str) -> str:
        return self.inside("rabbitmqctl", "eval", expression).stdout


def _run(engine: str, *arguments: str, check: bool = True, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [engine, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False
    )
    if check and done.returncode != 0:
        raise machine.ServerMissing(f"{engine} {' '.join(arguments)}: {done.stderr.strip()}")
    return done
