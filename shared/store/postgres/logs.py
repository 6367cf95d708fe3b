"""Output on PostgreSQL: logs are locked by their row, in order, and prolonged by whole chunks of bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.runs.refs import RunRef, number_of
from shared.store.log_pieces import Piece, fit
from shared.store.port import LogChunk

Key = tuple[int, int]

_LOCK = (
    "INSERT INTO log AS old (run, n, length, gaps)"
    " SELECT run, n, 0, false FROM unnest($1::bigint[], $2::integer[]) AS new (run, n) ORDER BY run, n"
    " ON CONFLICT (run, n) DO UPDATE SET length = old.length RETURNING run, n, length, gaps"
)
_TAKE_BEYOND = "DELETE FROM log_chunk WHERE run = $1 AND n = $2 AND start >= $3 RETURNING start, data"
_CHUNKS = (
    "INSERT INTO log_chunk (run, n, start, data)"
    " SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[])"
)
_PROLONG = (
    "UPDATE log SET length = new.length, gaps = new.gaps"
    " FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::boolean[]) AS new (run, n, length, gaps)"
    " WHERE log.run = new.run AND log.n = new.n"
)


async def append(connection: Any, chunks: Sequence[LogChunk]) -> Mapping[tuple[RunRef, int], int]:
    """Store the chunks in the caller's transaction; return how far each log goes without a gap."""
    names = {(number_of(chunk.run), chunk.n): chunk.run for chunk in chunks}
    pieces: dict[Key, list[Piece]] = {key: [] for key in sorted(names)}
    for chunk in chunks:
        pieces[number_of(chunk.run), chunk.n].append((chunk.offset, chunk.data))
    runs, ns = zip(*pieces, strict=True)
    logs, stored, lengths = [], [], {}
    for run, n, length, gaps in await connection.fetch(_LOCK, runs, ns):
        mine = pieces[run, n]
        if gaps:
            mine += [tuple(row) for row in await connection.fetch(_TAKE_BEYOND, run, n, length)]
        fitted = fit(length, mine)
        lengths[names[run, n], n] = fitted.length
        stored += [(run, n, start, data) for start, data in (*fitted.pieces, *fitted.beyond)]
        if gaps or fitted.pieces or fitted.beyond:
            logs.append((run, n, fitted.length, bool(fitted.beyond)))
    if stored:
        await connection.execute(_CHUNKS, *zip(*stored, strict=True))
    if logs:
        await connection.execute(_PROLONG, *zip(*logs, strict=True))
    return lengths
