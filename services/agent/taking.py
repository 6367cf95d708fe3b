"""What an agent found in its root when it started: the lock that makes it the only one, and unfinished business."""

import contextlib
import fcntl
import json
import os
import re
from pathlib import Path
from typing import Any

from services.agent.activation import Activation, key_of
from services.agent.journal import Entry
from services.agent.plain_file import NoFile, read_plain
from shared.bus.messages import TaskOffered
from shared.errors import ConfigurationError

_END = {"status", "stopped_at", "elapsed", "layout", "why"}
_MOST_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,95}")


class RootLock:
    """Held by one process per root, also across kill -9: the system lets go of it."""

    def __init__(self, root: Path) -> None:
        """Make the root, 0700, and take its lock. Raises ConfigurationError when another agent has it."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(root / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise ConfigurationError(f"another agent works in {root}: give this one another root") from None

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def fits(offer: TaskOffered) -> bool:
    """Names that may be parts of a path (FLOWS F-01, D-01); others do not come from a hub."""
    return bool(_NAME.fullmatch(offer.run) and _NAME.fullmatch(offer.flow) and offer.n >= 0)


def directory_of(root: Path, run: str, n: int) -> Path:
    """What the spawner keeps of one activation."""
    return root / "tasks" / f"{run}.{n}"


def restored(root: Path, host: str, entry: Entry) -> Activation:
    """An activation as the journal left it: ended with its report, or as if it had just been accepted."""
    finished = entry.finished
    if entry.accepted:
        offer = entry.accepted.offer
        run, n = offer.run, offer.n
    else:
        assert finished is not None
        offer, run, n = None, finished.report.run, finished.report.n
    activation = Activation(key_of(run, n), host, offer, directory_of(root, run, n))
    activation.stored = activation.sent = entry.stored
    if finished:
        activation.finished(finished.report)
        activation.log.seal(finished.layout, finished.trailer)
    elif entry.accepted:
        activation.boot = entry.accepted.boot
        activation.handed_to = entry.handed.to if entry.handed else ""
        activation.accepted()
    return activation


def end_of(directory: Path) -> dict[str, Any] | None:
    """What the spawner wrote at the end of a task; None while there is none, and for what it did not write."""
    try:
        found = json.loads(read_plain(directory / "end", _MOST_BYTES))
    except (FileNotFoundError, NoFile, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.keys() >= _END else None


def was_started(directory: Path) -> bool:
    """The spawner has made its log: a start was tried, and must never be again."""
    return (directory / "log").exists()


def make_directories(directory: str) -> None:
    """What the spawner keeps of an activation, and `scratch` in it; they may be there from an earlier try."""
    for path in (directory, f"{directory}/scratch"):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def file_size(path: Path) -> int:
    """Bytes; 0 for what is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
