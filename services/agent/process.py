"""The agent's end of its spawner: finds the one that runs, or starts one, and talks with it (RELIABILITY §1)."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from services.agent.spawner import tree
from shared.errors import FloeError

log = structlog.get_logger()

_CODE = Path(__file__).resolve().parents[2]
_PROGRAM = Path(__file__).with_name("spawner") / "__main__.py"
_START_SECONDS = 10.0
_TRIES = 5
_children: set["subprocess.Popen[bytes]"] = set()
"""Spawners (their guards) that this process started and has not reaped; they may outlive the link."""


class SpawnerError(FloeError):
    """No spawner could be reached or started."""


class SpawnerLink:
    """One connection. `on_message` gets what the spawner says, `on_lost` is called once when it is gone.

    Neither is called again after `close`.
    """

    def __init__(self, root: Path, on_message: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        self._root, self._on_message, self._on_lost = root, on_message, on_lost
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        _reap_children()
        self.pid = 0
        self.identity = ""
        """Names this very spawner among all that were and will be here since the machine was started."""

    @property
    def attached(self) -> bool:
        """A spawner is there."""
        return self._transport is not None

    async def attach(self) -> list[tuple[str, float | None, int]]:
        """Connect to the spawner that holds this root, started if there is none.

        Returns the keys that it has in hand, each with the time of its start, None when that is still to come, and
        how much is in its `log`. Ends of others are in their directories. Raises SpawnerError.
        """
        for _ in range(_TRIES):
            sock = _connect(self._root)
            if sock is None:
                await self.wait_gone()
                sock = await self._start()
            if sock is not None and (hello := await self._greet(sock)) is not None:
                self.pid, self.identity = hello["pid"], f"{hello['pid']}.{hello['born']}"
                log.info("spawner.attached", pid=self.pid, tasks=len(hello["tasks"]))
                return [(key, at, head) for key, at, head in hello["tasks"]]
        raise SpawnerError(f"cannot start the spawner of {self._root}: see {self._root}/spawner.log")

    def start(self, request: Mapping[str, Any]) -> None:
        """Start a task (see `spawner.task.Task`); answered by `started` and `ended`, or by `refused`."""
        self._send({"do": "start", **request})

    def stop(self, key: str, grace_seconds: float, why: str = "") -> None:
        """End every process of a task: terminate, then kill after the grace. Twice is harmless."""
        self._send({"do": "stop", "key": key, "grace": grace_seconds, "why": why})

    def lease(self, until_ms: int) -> None:
        """Until when, by the boot clock, exclusive tasks may run."""
        self._send({"do": "lease", "until_ms": until_ms})

    def close(self) -> None:
        """Detach. The spawner goes on while it has tasks."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._transport is not None:
            self._transport.write(json.dumps(message).encode() + b"\n")

    async def _greet(self, sock: socket.socket) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        first: asyncio.Future[dict[str, Any] | None] = loop.create_future()
        transport, _ = await loop.create_unix_connection(lambda: _Lines(self, first), sock=sock)
        try:
            async with asyncio.timeout(_START_SECONDS):
                hello = await first
        except TimeoutError:
            hello = None
        if hello is None or not _is(hello["pid"], hello["born"]):
            transport.abort()
            return None
        self._transport = transport
        return hello

    async def _start(self) -> socket.socket | None:
        """Start a spawner and wait until it has its socket; None when that failed or another one was quicker."""
        with (self._root / "spawner.log").open("ab") as errors:
            command = [sys.executable, "-I", "-S", str(_PROGRAM), str(self._root), str(_CODE)]
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; starting it takes a millisecond
                command,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._process = process
        _children.add(process)
        assert process.stdout is not None
        with process.stdout as ready:
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await _readable(ready.fileno())
            except TimeoutError:
                process.kill()
                return None
        return _connect(self._root)

    def lost(self, transport: asyncio.BaseTransport) -> None:
        """Called by the connection when it is gone."""
        if self._transport is transport:
            self._transport = None
            self._on_lost()

    def heard(self, message: dict[str, Any]) -> None:
        """Called by the connection for each message after the first."""
        self._on_message(message)

    async def wait_gone(self, seconds: float = 5.0) -> None:
        """Wait until the spawner that this link started is gone, and its guard, who kills what it left behind."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired:
            log.warning("spawner.stays", pid=process.pid)
        _reap_children()


class _Lines(asyncio.Protocol):
    """Splits the stream; the first message is the greeting."""

    def __init__(self, link: SpawnerLink, first: "asyncio.Future[dict[str, Any] | None]") -> None:
        self._link, self._first = link, first
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if not self._first.done():
                self._first.set_result(message)
            else:
                self._link.heard(message)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._first.done():
            self._first.set_result(None)
        self._link.lost(self._transport)


def _reap_children() -> None:
    for process in list(_children):
        if process.poll() is not None:
            _children.discard(process)


def _connect(root: Path) -> socket.socket | None:
    """A socket's path may be 108 bytes long, a root's longer: so by way of a descriptor."""
    directory = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(f"/proc/self/fd/{directory}/spawner.sock")
    except OSError:
        sock.close()
        return None
    finally:
        os.close(directory)
    sock.setblocking(False)
    return sock


def _is(pid: int, born: int) -> bool:
    proc = tree.read(pid)
    return proc is not None and proc.born == born


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(fd, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(fd)
