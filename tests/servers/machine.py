"""What this machine offers to private servers: free ports, binaries, packages, processes that die with us."""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
# The kernel's "parent died" is about the thread that forked, so one thread that lives as long as we do forks them all.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
_POLICY = Path("/usr/sbin/policy-rc.d")


class ServerMissing(RuntimeError):
    """A server that a test needs cannot be had here; the text says what was tried and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds now, outside the range that the kernel gives to clients."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerMissing("no free TCP port between 20000 and 32000 on 127.0.0.1")


def new_directory(kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"floe-{kind}-"))


def spawn(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own; it is killed by the kernel when this process dies, however it dies."""

    def fork() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd=log.parent,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    return _forker.submit(fork).result()


def end(process: subprocess.Popen[bytes] | None, how: signal.Signals, timeout: float = 30.0) -> None:
    """Send `how` and wait for the end; kill what does not obey in time. A process that has ended is left alone."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    if how is not signal.SIGKILL:
        process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_start(
    name: str, process: subprocess.Popen[bytes] | None, ready: Callable[[], bool], log: Path, timeout: float
) -> None:
    """Return when `ready()`; raise ServerMissing with the end of the log when it died or the time is over."""
    deadline = time.monotonic() + timeout
    while not ready():
        dead = process is not None and process.poll() is not None
        if dead or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
            raise ServerMissing(f"{name} {'ended' if dead else f'was not ready after {timeout:.0f} s'}:\n{tail}")
        time.sleep(0.05)


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def processes_of(directory: Path) -> list[str]:
    """The processes, but for this one, whose command line or environment names the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line, env = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in line + env and entry.name != str(os.getpid()):
            found.append(f"{entry.name}: {line.decode(errors='replace')}")
    return found


def may_install() -> bool:
    return os.geteuid() == 0 and os.environ.get("FLOE_TEST_INSTALL") != "0" and shutil.which("apt-get") is not None


def install(*packages: str) -> bool:
    """Install Debian packages without starting their services; say whether that worked."""
    if not may_install():
        return False
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    with _no_services():
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", "-qq", *command], check=False, timeout=600, **quiet)  # type: ignore[call-overload]
    return bool(done.returncode == 0)


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian starts what it installs unless this file says no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
