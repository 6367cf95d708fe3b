"""One url's place in the host's cache: who may work on it, what is complete, what is half done (FLOWS §6, fetch)."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.agent.programs.report import say, write_json

_BLOCK = 1 << 20


class Entry:
    """`CACHE/KEY/` with `file`, its `meta.json`, and while downloading `part` with `part.json`. Use it while `held`."""

    def __init__(self, cache: Path, url: str, checksum: str) -> None:
        self.dir = cache / hashlib.sha256(f"{url}\n{checksum}".encode()).hexdigest()
        self.file = self.dir / "file"
        self.part = self.dir / "part"
        self.meta = self.dir / "meta.json"
        self.part_meta = self.dir / "part.json"

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Keep every other fetch of the same file out; a process that dies lets go.

        True when the file came while this one waited: then it is as new as can be.
        """
        self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = self._version()
        with open(self.dir / "lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another task fetches the same file: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._version() not in (None, before)

    def _version(self) -> tuple[int, int] | None:
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def drop(self) -> None:
        """Forget what is here, complete or not."""
        for path in (self.meta, self.file, self.part_meta, self.part):
            path.unlink(missing_ok=True)

    def complete(self, meta: dict[str, Any], *, with_digest: bool) -> None:
        """Make the part the file, durably. Read-only, because workspaces share it by hard links.

        `with_digest` is for a file without a checksum of its own: `known` tells by it whether somebody changed it.
        """
        with open(self.part, "rb") as part:
            os.fchmod(part.fileno(), 0o444)
            os.fsync(part.fileno())
        self.meta.unlink(missing_ok=True)
        self.part.replace(self.file)
        self.part_meta.unlink(missing_ok=True)
        write_json(self.meta, {**meta, "sha256": digest(self.file, "sha256") if with_digest else None})

    def known(self) -> dict[str, Any]:
        """What is known of the complete file; empty when there is none, or when it is not what was stored."""
        meta = read_json(self.meta)
        sound = self.file.is_file() and meta.get("sha256") == digest(self.file, "sha256")
        return meta if sound else {}


def digest(path: Path, algorithm: str) -> str:
    """The file's checksum, hex."""
    total = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` left; empty when there is nothing, or nothing that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


class Progress:
    """Says how far a download is: at most one line a second, and one at its end."""

    def __init__(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total
        self._next = time.monotonic() + 1.0

    def add(self, count: int) -> None:
        self.done += count
        if time.monotonic() >= self._next:
            self.show()

    def show(self) -> None:
        self._next = time.monotonic() + 1.0
        if self.total:
            say(f"{self.done} of {self.total} bytes ({100 * self.done // self.total}%)")
        else:
            say(f"{self.done} bytes" + (" (100%)" if self.total == 0 else ""))
