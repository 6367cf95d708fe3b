"""A private RabbitMQ: Debian's binaries with a node name, ports, cookie, data and an epmd of their own.

Orders go to the running node as Erlang expressions through `erl_call`, which takes some 15 ms; `rabbitmqctl`
takes a second or two.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from tests.servers import machine

_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
_CLOSE_ALL = '[rabbit_networking:close_connection(P, "closed by a test") || P <- rabbit_networking:connections()].'


def find_binaries() -> Path | None:
    """The directory of RabbitMQ's own scripts (not Debian's wrappers, which change user), or None."""
    whole = (_SCRIPTS / "rabbitmq-server").exists() and shutil.which("epmd") and find_erl_call()
    return _SCRIPTS if whole else None


def find_erl_call() -> Path | None:
    return next(iter(sorted(Path("/usr/lib/erlang").glob("**/bin/erl_call"))), None)


class Orders(ABC):
    """What a test asks of a broker besides AMQP. Base of every kind of RabbitMQ here."""

    url: str

    @abstractmethod
    def evaluate(self, expression: str) -> str:
        """Have the node evaluate an Erlang expression that ends in a full stop."""

    def create_vhost(self) -> str:
        """An empty virtual host with a name of its own, open to the url's user; returns its url."""
        name = f"floe-{uuid.uuid4().hex[:12]}"
        self.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"test">>), {_permit(self.user, name)}.')
        return self.url_of(name)

    def delete_vhost(self, url: str) -> None:
        """Delete it with all it holds."""
        self.evaluate(f'rabbit_vhost:delete(<<"{urlsplit(url).path[1:]}">>, <<"test">>).')

    @contextmanager
    def fresh_vhost(self) -> Iterator[str]:
        url = self.create_vhost()
        try:
            yield url
        finally:
            self.delete_vhost(url)

    def add_user(self, name: str, password: str, vhost: str = "/") -> None:
        add = f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"test">>)'
        self.evaluate(f"{add}, {_permit(name, vhost)}.")

    def close_connections(self) -> None:
        """Cut every client connection (X7)."""
        self.evaluate(_CLOSE_ALL)

    def raise_memory_alarm(self) -> None:
        """Stop reading from publishers (X6) until `clear_memory_alarm`."""
        self.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.0001).")

    def clear_memory_alarm(self) -> None:
        self.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.4).")

    @property
    def user(self) -> str:
        return urlsplit(self.url).username or "guest"

    def url_of(self, vhost: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path="/" + quote(vhost, safe="")))


class PrivateRabbit(Orders):
    """A broker process of ours. `stop`, `kill` and `restart` keep data and port; `close` leaves nothing behind.

    `start` is `launch` and `wait_ready`; who starts several servers calls these apart.
    """

    def __init__(self, scripts: Path | None = None) -> None:
        found, erl_call = scripts or find_binaries(), find_erl_call()
        if found is None or erl_call is None:
            raise machine.ServerMissing("RabbitMQ's binaries are not on this machine")
        self.scripts, self._erl_call = found, erl_call
        self.port, self._dist_port, self._epmd_port = _three_ports()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self.directory = machine.new_directory("rabbit")
        self.log = self.directory / "log" / "console"
        self._cookie = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._prepare()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        env = self._environment()
        if self._epmd is None:
            command = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = machine.spawn(command, self.log.with_name("epmd"), env)
        self._process = machine.spawn([self.scripts / "rabbitmq-server"], self.log, env)

    def wait_ready(self, timeout: float = 90.0) -> None:
        machine.wait_for_start("RabbitMQ", self._process, lambda: speaks_amqp(self.port), self.log, timeout)

    def stop(self) -> None:
        """End it in order."""
        machine.end(self._process, signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9: what was confirmed must be there after the next start."""
        machine.end(self._process, signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker (X3); `resume` thaws it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        machine.end(self._process, signal.SIGKILL)
        machine.end(self._epmd, signal.SIGKILL)
        machine.remove(self.directory)

    def __enter__(self) -> "PrivateRabbit":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def evaluate(self, expression: str) -> str:
        command: list[str | Path] = [
            self._erl_call,
            "-c",
            self._cookie,
            "-address",
            f"localhost:{self._dist_port}",
            "-e",
        ]
        env = {**os.environ, "HOME": str(self.directory)}
        done = subprocess.run(
            command, input=expression + "\n", capture_output=True, text=True, env=env, timeout=30, check=False
        )
        if done.returncode != 0 or not done.stdout.startswith("{ok"):
            raise RuntimeError(f"the broker refused {expression}: {done.stdout} {done.stderr}")
        return str(done.stdout)

    def _prepare(self) -> None:
        for name in ("data", "log"):
            (self.directory / name).mkdir()
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "env.conf").touch()
        # Terms instead of rabbitmq.conf: no time goes into translating one.
        listeners = f'{{tcp_listeners, [{{"127.0.0.1", {self.port}}}]}}'
        (self.directory / "advanced.config").write_text(f"[{{rabbit, [{listeners}, {{loopback_users, []}}]}}].\n")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        home = self.directory
        return kept | {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"floe-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_CONFIG_FILE": str(home / "none.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "env.conf"),
            # The script then becomes the broker instead of waiting for it, so that our child is the broker.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }


def speaks_amqp(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a broker answers the protocol header with a frame."""
    try:
        with socket.create_connection((host, port), timeout=1) as link:
            link.sendall(b"AMQP\x00\x00\x09\x01")
            return link.recv(1) == b"\x01"
    except OSError:
        return False


def _three_ports() -> tuple[int, int, int]:
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(machine.free_port())
    first, second, third = ports
    return first, second, third


def _permit(user: str, vhost: str) -> str:
    everything = '<<".*">>, <<".*">>, <<".*">>'
    return f'rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{vhost}">>, {everything}, <<"test">>)'
