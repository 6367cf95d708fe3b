"""One task of the spawner: a leader in a session of its own, its output, and how it ended."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from typing import Any

from services.agent.spawner import tree
from services.agent.spawner.capped import CappedLog

_DEFAULTS = tuple(number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP))
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031
_buffer = memoryview(bytearray(256 * 1024))


class Task:
    """Made from the agent's request `{key, argv, env, cwd, dir, preamble, cap, grace, exclusive, note}`.

    Raises FileExistsError when that directory has seen a start, OSError when its log cannot be made, and ValueError or
    KeyError for what is no such request.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        if missing := {"argv", "env", "cwd", "marker"} - request.keys():
            raise ValueError(f"a start without {', '.join(sorted(missing))}")
        self.key: str = request["key"]
        self.directory: str = request["dir"]
        self.exclusive: bool = request.get("exclusive", False)
        self.grace: float = request.get("grace", 10.0)
        self.log = CappedLog(self.directory, request["cap"])
        self.log.write(request.get("preamble", "").encode("latin-1"))
        self.marker: str = request["marker"]
        self.mark = 0
        """What its processes carry (see `marks`); 0 before its start, or when there is none."""
        self.born = 0
        """No process of it was born before that, as `tree.Proc` counts."""
        self.pid = 0
        """The leader's, 0 before its start and once it is reaped."""
        self.leader = 0
        """The leader's, and its session's and group's, kept after its end."""
        self.ready = False
        """The loop knows how its start went."""
        self.closing = False
        """Its end is being written."""
        self.status: int | None = None
        self.why = ""
        self.out = -1
        self.pipe = ""
        self.grown = bool(self.log.layout.head)
        self.started_at = self.stopped_at = time.time()
        self.elapsed = 0.0
        self._started = time.monotonic()
        self._request = request
        self.termed: set[tuple[int, int]] = set()
        self.kill_at: float | None = None
        self.scan_at = 0.0

    @property
    def stopping(self) -> bool:
        """Its processes have been told to end."""
        return self.kill_at is not None

    @property
    def to_close(self) -> bool:
        """Its leader has ended, its end is not being written yet."""
        return self.status is not None and self.leader > 0 and not self.closing

    @property
    def to_stop(self) -> bool:
        """Its processes are being ended and may need another signal."""
        return self.stopping and self.leader > 0 and not self.closing

    def spawn(self) -> None:
        """Start the leader, which carries `mark`. When that cannot be, the reason is in the log and the status is 127
        or 126 (FLOWS §6)."""
        self.started_at, self._started = time.time(), time.monotonic()
        self.born = tree.now()
        request, self._request = self._request, {"note": self._request.get("note")}
        env = {**request["env"], tree.MARKER: self.marker}
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ours, False)
        try:
            self.pid = self.leader = _spawn(request["argv"], env, request["cwd"], theirs)
        except (OSError, ValueError) as error:
            os.close(ours)
            self._could_not_start(request["argv"][0], error)
        else:
            self.out, self.pipe = ours, os.readlink(f"/proc/self/fd/{ours}")
        finally:
            os.close(theirs)

    def read(self) -> bool:
        """Move what the task has written into its log, at most 256 KiB. False when nothing more can come."""
        try:
            count = os.readv(self.out, [_buffer])
        except BlockingIOError:
            return True
        if count == 0:
            return False
        if self.log.streams:
            self.grown = True
        self.log.write(_buffer[:count])
        if count == 65536:
            _widen(self.out)
        return True

    def ended(self, wait_status: int) -> None:
        """The leader is reaped: its exit status, or 128+N when signal N killed it."""
        code = os.waitstatus_to_exitcode(wait_status)
        self.status = code if code >= 0 else 128 - code
        self.pid = 0

    def close(self) -> None:
        """Nothing of it is left: take what is in the pipe. A stranger who holds its other end is not waited for."""
        self.closing = True
        if not self.elapsed:
            self.stopped_at, self.elapsed = time.time(), time.monotonic() - self._started
        if self.out < 0:
            return
        for _ in range(2 * _PIPE_BYTES // len(_buffer) + 1):
            before = self.log.layout
            if not self.read() or self.log.layout == before:
                break
        os.close(self.out)
        self.out = -1

    def record_end(self) -> dict[str, Any]:
        """Write `end` in its directory, so that it is there completely or not at all, and survives a crash.

        Raises OSError; may then be called again.
        """
        self.log.close()
        end = {
            "status": self.status,
            "started_at": self.started_at,
            "stopped_at": self.stopped_at,
            "elapsed": self.elapsed,
            "layout": list(self.log.layout),
            "why": self.why,
            "note": self._request.get("note"),
        }
        path = f"{self.directory}/end"
        _clear(self.directory)
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(end).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(path + ".new", path)
        return end

    def _could_not_start(self, name: str, error: OSError | ValueError) -> None:
        missing = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR)
        self.status = 127 if missing else 126
        text = error.strerror if isinstance(error, OSError) else str(error)
        where = f" ({error.filename})" if isinstance(error, OSError) and error.filename not in (None, name) else ""
        self.log.write(f"floe: cannot start {name}: {text}{where}\n".encode(errors="replace"))
        self.grown = True


def _spawn(argv: list[str], env: dict[str, str], cwd: str, out: int) -> int:
    """Raises OSError with the system's reason. Changes the directory of this process for the time of the start."""
    os.chdir(cwd)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, out, 2),
        ]
        path = _find(argv[0], env.get("PATH", ""))
        return os.posix_spawn(path, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_DEFAULTS)
    finally:
        os.chdir("/")


def _clear(directory: str) -> None:
    """Make room for `end`, whatever the task did to its directory. Raises OSError."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        _put_aside(directory)
        os.makedirs(directory, 0o700)
    elif not os.access(directory, os.W_OK | os.X_OK):
        os.chmod(directory, 0o700)
    _put_aside(f"{directory}/end.new")
    if os.path.isdir(f"{directory}/end"):
        _put_aside(f"{directory}/end")


def _put_aside(path: str) -> None:
    """Nothing is at the path any more; a directory gets another name."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        os.rename(path, f"{path}.{time.time_ns()}")


def _find(name: str, path: str) -> str:
    """A bare name is looked up on the task's own PATH."""
    if "/" in name:
        return name
    refused = False
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
        refused = refused or os.path.isfile(candidate)
    code = errno.EACCES if refused else errno.ENOENT
    raise OSError(code, os.strerror(code) if refused else "command not found", name)


def _widen(fd: int) -> None:
    """A full pipe is worth a larger one; the system may refuse."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, _SET_PIPE_SIZE, _PIPE_BYTES)
