"""What the journal's lines say, and how they are written: a checksum, a space, one JSON object."""

import zlib
from collections.abc import Iterator

import msgspec

from shared.bus.messages import FinishedReport, TaskOffered


class Record(msgspec.Struct, frozen=True, tag_field="is", tag=str.lower):
    """The root. `key` is RUN/N."""

    key: str


class Accepted(Record, frozen=True):
    """This agent took the offer. `boot` names the start of the machine: a later one knows nothing of its processes."""

    at: float
    boot: str
    offer: TaskOffered


class Handed(Record, frozen=True):
    """It is about to be handed to the spawner `to`: once that one is gone, nobody knows whether it was started."""

    to: str


class Finished(Record, frozen=True):
    """It ended as the report says; without an Accepted before it, it is never to start (a tombstone)."""

    report: FinishedReport
    layout: tuple[int, int, int, int] = (0, 0, 0, 0)
    trailer: bytes = b""


class Stored(Record, frozen=True):
    """The hub has the log up to here."""

    offset: int


class Done(Record, frozen=True):
    """All of it is settled: nothing of it is sent again, and it is kept only to know it."""


AnyRecord = Accepted | Handed | Finished | Stored | Done
_decoder: "msgspec.json.Decoder[AnyRecord]" = msgspec.json.Decoder(AnyRecord)
_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """One line."""
    body = _encoder.encode(record)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> "AnyRecord | None":
    """The record, or None for a line that is torn or not ours."""
    body = line[9:]
    try:
        if len(line) < 10 or int(line[:8], 16) != zlib.crc32(body):
            return None
        return _decoder.decode(body)
    except (ValueError, msgspec.MsgspecError):
        return None


def lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Complete lines with where each starts; what follows the last newline is torn and left out."""
    start = 0
    while (stop := data.find(b"\n", start)) >= 0:
        yield start, data[start:stop]
        start = stop + 1
