"""How chunks of output become a log without gaps, whatever order, overlap and repetition they come in. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE_BYTES = 256 * 1024

Piece = tuple[int, bytes]
"""Bytes of a log from an offset on."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What to store: `pieces` prolong the log from its old length to `length`, `beyond` wait for what is missing."""

    length: int
    pieces: tuple[Piece, ...]
    beyond: tuple[Piece, ...]


def fit(length: int, chunks: Iterable[Piece]) -> Fitted:
    """Lay chunks onto a log that is stored up to `length`; `chunks` include those that already wait beyond it.

    Stored bytes are never replaced: of a chunk that overlaps them only the part beyond them counts.
    """
    fitting: list[Piece] = []
    beyond: dict[int, bytes] = {}
    for start, data in sorted(chunks, key=lambda chunk: chunk[0]):
        end = start + len(data)
        if end <= length:
            continue
        if start > length:
            beyond[start] = max(data, beyond.get(start, b""), key=len)
            continue
        fitting.append((length, data[length - start :] if start < length else data))
        length = end
    return Fitted(length, tuple(_joined(fitting)), tuple(beyond.items()))


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Neighbours as one, up to PIECE_BYTES: fewer rows, and a log that reads in fewer steps."""
    held: list[bytes] = []
    start = size = 0
    for at, data in pieces:
        if held and size + len(data) > PIECE_BYTES:
            yield start, b"".join(held)
            held, size = [], 0
        if not held:
            start = at
        held.append(data)
        size += len(data)
    if held:
        yield start, b"".join(held) if len(held) > 1 else held[0]
