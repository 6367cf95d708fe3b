"""An activation's log as its readers know it: one run of bytes, however the spawner keeps it on disk."""

import os
from pathlib import Path

from services.agent.plain_file import open_plain


class LogFile:
    """The bytes from 0 on. While the task runs, those that are certain: what the spawner says is in the first quarter
    of the cap (`grew`), never what else the task put there.

    `seal` says how it ended; from then on the length is known. What is missing on disk then (a crash of the machine)
    reads as zero bytes, so that offsets hold.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parts: list[tuple[int, bytes | tuple[str, int]]] = []
        self.length: int | None = None
        self._certain = 0

    def grew(self, certain: int) -> None:
        """The spawner has written so much of `log`."""
        self._certain = max(self._certain, certain)

    def seal(self, layout: tuple[int, int, int, int], trailer: bytes) -> None:
        """It grows no more: `layout` as the spawner left it, then `trailer`. Twice is harmless."""
        head, tail, ring, lost = layout
        parts: list[tuple[int, bytes | tuple[str, int]]] = [(head, ("log", 0))]
        if tail > ring:
            parts += self._mark(head, tail - ring)
            at = tail % ring
            parts += [(ring - at, ("tail", at)), (at, ("tail", 0))]
        elif tail:
            parts.append((tail, ("tail", 0)))
        if lost:
            parts += self._mark(head if not tail else 0, lost)
        if trailer:
            parts.append((len(trailer), trailer))
        self._parts = [part for part in parts if part[0]]
        self.length = sum(size for size, _ in self._parts)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes that are certain by now; empty at their end."""
        if self.length is None:
            return self._from_file("log", offset, max(min(size, self._certain - offset), 0))
        found = bytearray()
        for length, source in self._parts:
            if offset < length and len(found) < size:
                count = min(length - offset, size - len(found))
                found += self._part(source, offset, count)
                offset += count
            offset -= min(length, offset)
        return bytes(found)

    def _part(self, source: bytes | tuple[str, int], offset: int, count: int) -> bytes:
        if isinstance(source, bytes):
            return source[offset : offset + count]
        name, start = source
        return self._from_file(name, start + offset, count).ljust(count, b"\0")

    def _from_file(self, name: str, offset: int, size: int) -> bytes:
        try:
            fd = open_plain(self._directory / name)
        except OSError:
            return b""
        try:
            return os.pread(fd, size, offset)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _mark(self, before: int, missing: int) -> list[tuple[int, bytes | tuple[str, int]]]:
        """The line that says how much is left out, on a line of its own."""
        begun = before > 0 and self._from_file("log", before - 1, 1) != b"\n"
        text = b"%b[floe: %d bytes left out]\n" % (b"\n" if begun else b"", missing)
        return [(len(text), text)]
