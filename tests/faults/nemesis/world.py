"""Everything that can be broken: the two servers, a line from each service to each of them, and the services."""

import asyncio
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from tests.faults.nemesis import disks
from tests.faults.nemesis.flows import FLOWS, definition
from tests.faults.nemesis.house import REPOSITORY, House
from tests.faults.nemesis.proxy import Line, Loop
from tests.servers import PrivatePostgres, PrivateRabbit
from tests.servers.machine import ServerMissing
from tests.servers.postgres import plain_url
from tests.system.deployed import strays
from tests.waiting import wait_until_blocking

LOST_AFTER_SECONDS = 40.0
"""The lease of tagged tasks is half of it."""
AGENTS = ("one", "two")
SERVICES = ("api", "hub1", "hub2", "dispatcher1", "dispatcher2", *AGENTS)
_START_TRIES = 5
_AGENT_DISK_MB, _DATABASE_DISK_MB = 400, 600


class World:
    """1 api, 2 hubs, 2 dispatchers, 2 agents on servers of their own. `close` leaves nothing behind."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="floe-nemesis-"))
        self.evidence = self.directory / "tasks"
        self.evidence.mkdir()
        self.rabbit, self.postgres = PrivateRabbit(), PrivatePostgres()
        self.loop = Loop()
        self.lines: dict[tuple[str, str], Line] = {}
        self.house = House(self.directory, {"FLOE_LOST_AFTER_SECONDS": str(LOST_AFTER_SECONDS)}, environs=self.urls)
        self.house.base = {**self.house.base, "FLOE_LOG_CAP_BYTES": str(4 << 20), "FLOE_GRACE_SECONDS": "2"}
        self.database = self.vhost = ""
        self.inside = {"PYTHONPATH": f"{Path(__file__).with_name('inside')}:{REPOSITORY}"}
        """Environment of a service that is to fail at a place of our choice."""
        self.may_be_lost: set[str] = set()
        """Why activations may have been lost in this cycle: parts of the reasons that are then no surprise."""
        self.may_have_gaps = False
        """A disk was full: logs may lack bytes, where they say so."""
        self.dropped_at: list[float] = []
        """When the queue of triggers was deleted, monotonic: what it held and nobody had adopted is lost with it."""
        self.poison_sent = 0
        """So many dead letters are to be expected."""
        self.violations: list[str] = []
        """What the faults themselves found; the checker adds its own."""
        self.closing = threading.Event()

    def start(self) -> None:
        """Disks, servers, schema, services, flows."""
        for agent in AGENTS:
            disks.make(self.directory / agent, _AGENT_DISK_MB)
        disks.make(self.postgres.directory, _DATABASE_DISK_MB)
        self.rabbit.launch()
        self.postgres.start()
        self.rabbit.wait_ready()
        self.database, self.vhost = self.postgres.create_database(), self.rabbit.create_vhost()
        migrated = self.house.floe("migrate")
        assert migrated.returncode == 0, migrated.stderr
        self.house.start("api", "api", "--bind", f"127.0.0.1:{self.house.port}")
        for n in (1, 2):
            self.house.start(f"hub{n}", "hub", "--host", f"hub{n}")
            self.house.start(f"dispatcher{n}", "dispatcher", "--host", f"dispatcher{n}")
        for name in AGENTS:
            self.house.start(name, "agent", "--host", name, "--tags", "linux", "--slots", "12")
        self.house.keep()
        self.wait_well()
        with self.house.client() as api:
            for name in FLOWS:
                self.put(api, name, definition(name, self.evidence))

    def put(self, api: httpx.Client, name: str, text: str) -> None:
        """Store a flow."""
        answer = api.put(f"/flows/{name}", content=text, headers={"Content-Type": "application/yaml"})
        assert answer.status_code in (200, 201), answer.text

    def urls(self, name: str) -> Mapping[str, str]:
        """The settings of one service: its own lines."""
        return {
            "FLOE_AMQP_URL": self._by(self.line(name, "broker"), self.vhost),
            "FLOE_DATABASE_URL": self._by(self.line(name, "database"), self.database),
        }

    def line(self, service: str, server: str) -> Line:
        """The line between them, made when first asked for."""
        if (service, server) not in self.lines:
            port = self.rabbit.port if server == "broker" else self.postgres.port
            self.lines[service, server] = self.loop.line(port)
        return self.lines[service, server]

    @staticmethod
    def _by(line: Line, url: str) -> str:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{line.port}"))

    def start_server(self, server: str) -> None:
        """Start it again, and again if what the last one left is still in its way."""
        which = self.rabbit if server == "broker" else self.postgres
        for attempt in range(_START_TRIES):
            try:
                which.start()
            except ServerMissing:
                if attempt == _START_TRIES - 1:
                    raise
                time.sleep(1)
            else:
                return

    def query(self, sql: str, *args: object) -> list[dict[str, Any]]:
        """Rows, by a connection of our own beside all lines."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, _fetch(plain_url(self.database), sql, args)).result()

    def begin_cycle(self) -> None:
        """Nothing is excused yet."""
        self.may_be_lost.clear()
        self.violations.clear()
        self.dropped_at.clear()
        self.may_have_gaps = False

    def heal(self) -> None:
        """All lines pass, all processes run, disks have room."""
        for disk in (*(self.directory / agent for agent in AGENTS), self.postgres.directory):
            disks.free(disk)
        for line in self.lines.values():
            line.pass_all()
        self.house.revive()

    def wait_well(self, seconds: float = 90.0) -> None:
        """Return when the api is ready and all agents are up."""
        wait_until_blocking(self._well, seconds, "the api is ready and every agent up")

    def _well(self) -> bool:
        try:
            if httpx.get(f"{self.house.address}/health/ready", timeout=3).status_code != 200:
                return False
            with self.house.client() as api:
                found = {agent["host"]: agent["state"] for agent in api.get("/agents").json()["items"]}
        except (httpx.HTTPError, ValueError, KeyError):
            return False
        return all(found.get(name) == "up" for name in AGENTS)

    def close(self) -> list[str]:
        """End everything; returns what did not end as it should, or stayed."""
        problems: list[str] = []
        for line in self.lines.values():
            line.pass_all()
        problems += self.house.close()
        try:
            wait_until_blocking(lambda: not strays(str(self.directory)), 20, "no process is left")
        except AssertionError:
            problems += [f"process left: {line}" for line in strays(str(self.directory))]
        self.loop.close()
        self.rabbit.close()
        self.postgres.close()
        for disk in (*(self.directory / agent for agent in AGENTS), self.postgres.directory):
            disks.drop(disk)
        shutil.rmtree(self.postgres.directory, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        return problems

    def keep_logs(self) -> Path:
        """Copy what the processes and servers said, and the evidence, to where it stays."""
        kept = Path(tempfile.mkdtemp(prefix="floe-nemesis-logs-"))
        for path in (*self.directory.glob("*.log"), self.evidence / "evidence", self.rabbit.log, self.postgres.log):
            if path.exists():
                shutil.copy(path, kept / path.name)
        return kept

    def wait(self, seconds: float) -> None:
        """Let a fault last; cut short when all is to end."""
        self.closing.wait(seconds)


async def _fetch(dsn: str, sql: str, args: Sequence[object]) -> list[dict[str, Any]]:
    import asyncpg

    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return [dict(row) for row in await connection.fetch(sql, *args)]
    finally:
        await connection.close()


def on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM, SIGINT and SIGHUP end the nemesis in order."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop())
