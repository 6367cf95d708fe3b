"""A private PostgreSQL: Debian's binaries in a directory of its own, durable as in real life, small."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.servers import machine

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "10s",
    "logging_collector": "off",
}


def find_binaries() -> Path | None:
    """The newest directory that holds a whole PostgreSQL server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: int(bin.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*found, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((bin for bin in candidates if (bin / "initdb").exists() and (bin / "postgres").exists()), None)


class Databases:
    """Makes and drops databases of a server that is known by its url. Base of every kind of PostgreSQL here."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @property
    def url(self) -> str:
        """The url in the form of `FLOE_DATABASE_URL`; `dsn` is the plain `postgresql://` one."""
        return _floe_url(self.dsn)

    def execute(self, *statements: str, dsn: str | None = None) -> None:
        """Run statements, each in a transaction of its own; callable with or without a running loop."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, _execute(dsn or self.dsn, statements)).result()

    def create_database(self) -> str:
        """An empty database with a name of its own; returns its url."""
        name = f"floe_{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        parts = urlsplit(self.dsn)
        return _floe_url(urlunsplit(parts._replace(path=f"/{name}")))

    def drop_database(self, url: str) -> None:
        """Drop it and cut whoever is still connected; twice is safe."""
        self.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)

    def close_connections(self) -> None:
        """Terminate every client connection but our own."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


class PrivatePostgres(Databases):
    """A server process of ours. `stop`, `kill` and `restart` keep data and port; `close` leaves nothing behind.

    `start` is `launch` and `wait_ready`; who starts several servers calls these apart.
    """

    def __init__(self, bin: Path | None = None) -> None:
        found = bin or find_binaries()
        if found is None:
            raise machine.ServerMissing("PostgreSQL's binaries are not on this machine")
        self.bin = found
        self.port = machine.free_port()
        super().__init__(f"postgresql://floe@127.0.0.1:{self.port}/postgres")
        self.directory = machine.new_directory("postgres")
        self.data, self.log = self.directory / "data", self.directory / "log"
        self._user = _unprivileged_user()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        if not self.data.exists():
            self._initialise()
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.directory)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self.bin / "postgres", "-D", self.data, *options]
        self._process = machine.spawn(command, self.log, user=self._user)

    def wait_ready(self, timeout: float = 60.0) -> None:
        machine.wait_for_start("PostgreSQL", self._process, self._answers, self.log, timeout)

    def stop(self) -> None:
        """End it in order ("fast": open transactions are rolled back)."""
        machine.end(self._process, signal.SIGINT)

    def kill(self) -> None:
        """Kill -9: what was committed must be there after the next start."""
        machine.end(self._process, signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the whole server (X3); `resume` thaws it."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        # SIGQUIT, not SIGKILL: the postmaster's children and shared memory go with it.
        machine.end(self._process, signal.SIGQUIT, timeout=10)
        machine.remove(self.directory)

    def __enter__(self) -> "PrivatePostgres":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _initialise(self) -> None:
        if self._user is not None:
            shutil.chown(self.directory, self._user, self._user)
        command: list[str | Path] = [self.bin / "initdb", "-D", self.data, "-U", "floe", "-A", "trust", "-E", "UTF8"]
        done = machine.spawn([*command, "--no-locale", "--no-sync"], self.log, user=self._user)
        if done.wait(timeout=60) != 0:
            raise machine.ServerMissing(f"initdb failed:\n{self.log.read_text()[-2_000:]}")

    def _answers(self) -> bool:
        ready: list[str | Path] = [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False, stdin=subprocess.DEVNULL).returncode == 0

    def _signal_all(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            for pid in (self._process.pid, *map(int, children)):
                os.kill(pid, how)


def _floe_url(dsn: str) -> str:
    return "postgresql+asyncpg://" + dsn.split("://", 1)[1]


def plain_url(url: str) -> str:
    """The url without a driver's name, as asyncpg and psql want it."""
    return "postgresql://" + url.split("://", 1)[1]


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


async def _execute(dsn: str, statements: tuple[str, ...]) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
