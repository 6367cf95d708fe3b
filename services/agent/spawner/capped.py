"""The log of one activation on disk, never larger than its cap (API.md, FLOE_LOG_CAP_BYTES).

`log` takes the first quarter of the cap; what follows goes round in `tail`, a ring of the other three quarters.
What is read (`Layout`) is the first quarter, a mark that says how much is left out, and the ring in its order.
A pipe, not a file, is what tasks write to: `> /dev/stderr` in a script would truncate a file, and nobody could keep
a task from filling the disk with one.
"""

import contextlib
import os
from typing import NamedTuple


class Layout(NamedTuple):
    """How much went where: bytes in `log`, bytes that went through a ring of `ring` bytes, bytes that were lost after
    them because the disk took no more."""

    head: int = 0
    tail: int = 0
    ring: int = 0
    lost: int = 0


class CappedLog:
    """The writing side. Creating it twice for one directory raises FileExistsError: that marks a task as started."""

    def __init__(self, directory: str, cap: int) -> None:
        self._directory = directory
        self._room = max(cap // 4, 1)
        self._ring = max(cap - self._room, 1)
        self._head = self._tail = self._lost = 0
        self._fd = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._tail_fd = -1

    @property
    def layout(self) -> Layout:
        """What has been written so far."""
        return Layout(self._head, self._tail, self._ring, self._lost)

    @property
    def streams(self) -> bool:
        """Whether `log` may still grow; what goes into the ring is read at the end."""
        return self._head < self._room and not self._tail and not self._lost

    def write(self, data: "bytes | memoryview") -> None:
        """Keep what the cap allows. Never raises: what a full disk refuses is counted as lost."""
        view, before = memoryview(data), self._head + self._tail
        with contextlib.suppress(OSError):
            if self.streams:
                view = self._write_head(view)
            if len(view) and not self._lost:
                self._write_tail(view)
        self._lost += len(data) - (self._head + self._tail - before)

    def close(self) -> None:
        """Let go of the files."""
        for fd in (self._fd, self._tail_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._tail_fd = -1

    def _write_head(self, view: memoryview) -> memoryview:
        while len(view) and self._head < self._room:
            count = os.write(self._fd, view[: self._room - self._head])
            self._head += count
            view = view[count:]
        return view

    def _write_tail(self, view: memoryview) -> None:
        if self._tail_fd < 0:
            # exclusive: what a task put there, a pipe or a link, is not written to
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._tail_fd = os.open(f"{self._directory}/tail", flags, 0o600)
        while len(view):
            at = self._tail % self._ring
            count = os.pwrite(self._tail_fd, view[: self._ring - at], at)
            self._tail += count
            view = view[count:]
