"""What this agent took and how it ended, on disk before anything starts (ARCHITECTURE §2, Offers).

Segments of lines that are only ever appended to: one fdatasync makes a whole batch of offers safe, which a file per
key cannot do, and a torn last line is all that a crash can leave. Keys are exclusive because the root is locked and
every key of the last seven days is known in memory; what is settled costs 16 bytes there, its record stays on disk.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.agent import records
from services.agent.records import Accepted, AnyRecord, Done, Finished, Handed, Stored
from services.agent.settled import SettledKeys
from shared.errors import Unavailable

log = structlog.get_logger()

SEGMENT_BYTES = 16 * 1024 * 1024
KEEP_SECONDS = 7 * 86_400.0


class JournalUnwritable(Unavailable):
    """The disk refused; nothing that was to be written counts."""


@dataclass(slots=True)
class Entry:
    """A key that is not settled yet."""

    key: str
    segment: int
    accepted: Accepted | None = None
    handed: Handed | None = None
    finished: Finished | None = None
    finished_at: tuple[int, int] = (0, 0)
    """Segment and offset of its Finished."""
    stored: int = 0


class Journal:
    """Opened by one process at a time (the root's lock). Not for threads."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Read what is there; a torn end is cut off. Raises OSError."""
        self._directory, self._limit = directory, segment_bytes
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.live: dict[str, Entry] = {}
        self._settled = SettledKeys()
        numbers = sorted(int(path.stem) for path in directory.glob("*.log"))
        for number in numbers:
            self._load(number)
        self._number = numbers[-1] if numbers else 1
        self._open()

    def find(self, key: str) -> Finished | None:
        """How a settled key ended; None for one that is live, unknown, or settled more than seven days ago."""
        for segment, offset in self._settled.places(key):
            record = self._read(segment, offset)
            if isinstance(record, Finished) and record.key == key:
                return record
        return None

    def append(self, new: Iterable[AnyRecord], *, sync: bool = False) -> None:
        """Write records, with `sync` safe against a crash of the machine, and take them into account.

        Raises JournalUnwritable; then none of them is in the journal.
        """
        batch = list(new)
        encoded = [records.encode(record) for record in batch]
        start = self._size
        try:
            self._write(b"".join(encoded))
            if sync:
                os.fdatasync(self._fd)
        except OSError as error:
            self._cut(start)
            raise JournalUnwritable(f"cannot write the journal in {self._directory}: {error.strerror}") from error
        for record, line in zip(batch, encoded, strict=True):
            self._take(record, self._number, start)
            start += len(line)
        if self._size >= self._limit:
            self._rotate()

    def prune(self, now: float | None = None) -> int:
        """Remove segments untouched for seven days; what is still live in them is written anew. Returns how many."""
        removed = 0
        for path in sorted(self._directory.glob("*.log")):
            number = int(path.stem)
            if number >= self._number or path.stat().st_mtime > (now or time.time()) - KEEP_SECONDS:
                break
            self._carry_over(number)
            path.unlink()
            self._settled.drop(number)
            removed += 1
        return removed

    def close(self) -> None:
        """Make safe what was written, and let go."""
        os.fdatasync(self._fd)
        os.close(self._fd)

    def _take(self, record: AnyRecord, segment: int, offset: int) -> None:
        entry = self.live.get(record.key)
        match record:
            case Accepted():
                self.live[record.key] = Entry(record.key, segment, accepted=record)
            case Finished():
                entry = entry or self.live.setdefault(record.key, Entry(record.key, segment))
                entry.finished, entry.finished_at = record, (segment, offset)
            case Handed() if entry:
                entry.handed = record
            case Stored() if entry:
                entry.stored = max(entry.stored, record.offset)
            case Done() if entry:
                del self.live[record.key]
                if entry.finished:
                    self._settled.add(record.key, *entry.finished_at)

    def _carry_over(self, number: int) -> None:
        for entry in [entry for entry in self.live.values() if entry.segment <= number]:
            found = [entry.accepted, entry.handed, entry.finished, Stored(entry.key, entry.stored)]
            self.append([record for record in found if record is not None], sync=True)
            self.live[entry.key].segment = self._number

    def _load(self, number: int) -> None:
        data = self._path(number).read_bytes()
        for offset, line in records.lines(data):
            record = records.decode(line)
            if record is None:
                log.warning("journal.line_unreadable", segment=number, offset=offset)
            else:
                self._take(record, number, offset)

    def _open(self) -> None:
        """Go on behind the last complete line, which is made safe with the segment's name."""
        self._fd = os.open(self._path(self._number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        data = self._path(self._number).read_bytes()
        self._cut(data.rfind(b"\n") + 1)
        os.fsync(self._fd)
        directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _rotate(self) -> None:
        os.fdatasync(self._fd)
        os.close(self._fd)
        self._settled.seal(self._number)
        self._number += 1
        self._open()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, self._size)
            self._size += count
            view = view[count:]

    def _cut(self, size: int) -> None:
        self._size = size
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            log.warning("journal.not_cut", size=size)

    def _read(self, segment: int, offset: int) -> AnyRecord | None:
        try:
            with self._path(segment).open("rb") as file:
                file.seek(offset)
                return records.decode(file.readline().removesuffix(b"\n"))
        except OSError:
            return None

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08}.log"
