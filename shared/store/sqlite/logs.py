"""Output on SQLite: a file of its own with a writer of its own, so that it never holds up a run."""

import sqlite3
from collections.abc import Mapping, Sequence

from shared.runs.refs import RunRef, number_of
from shared.store.log_pieces import Piece, fit
from shared.store.port import LogChunk

_LOG = "SELECT length, gaps FROM log WHERE run = ? AND n = ?"
_SET_LOG = (
    "INSERT INTO log (run, n, length, gaps) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (run, n) DO UPDATE SET length = excluded.length, gaps = excluded.gaps"
)
_BEYOND = "SELECT start, data FROM log_chunk WHERE run = ? AND n = ? AND start >= ?"
_DROP_BEYOND = "DELETE FROM log_chunk WHERE run = ? AND n = ? AND start >= ?"
_CHUNK = "INSERT INTO log_chunk (run, n, start, data) VALUES (?, ?, ?, ?)"


def append(connection: sqlite3.Connection, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
    """Store the chunks in the caller's transaction; return how far each log goes without a gap."""
    logs: dict[tuple[RunRef, int], list[Piece]] = {}
    for chunk in chunks:
        logs.setdefault((chunk.run, chunk.n), []).append((chunk.offset, chunk.data))
    return {key: _append(connection, number_of(key[0]), key[1], pieces) for key, pieces in logs.items()}


def _append(connection: sqlite3.Connection, run: int, n: int, pieces: list[Piece]) -> int:
    length, gaps = connection.execute(_LOG, (run, n)).fetchone() or (0, False)
    if gaps:
        pieces += connection.execute(_BEYOND, (run, n, length)).fetchall()
        connection.execute(_DROP_BEYOND, (run, n, length))
    fitted = fit(length, pieces)
    if fitted.length == length and not fitted.beyond:
        return int(length)
    rows = [(run, n, start, data) for start, data in (*fitted.pieces, *fitted.beyond)]
    connection.executemany(_CHUNK, rows)
    connection.execute(_SET_LOG, (run, n, fitted.length, bool(fitted.beyond)))
    return fitted.length
