"""Reading output: any offset is found by the chunk's key, nothing before it is touched."""

from sqlalchemy import Connection, func, select

from shared.store.tables import log, log_chunk


def output_length(connection: Connection, run: int, n: int) -> int:
    return connection.scalar(select(log.c.length).where(log.c.run == run, log.c.n == n)) or 0


def output(connection: Connection, run: int, n: int, offset: int, limit: int) -> bytes:
    end = min(output_length(connection, run, n), offset + limit)
    if offset >= end:
        return b""
    mine = (log_chunk.c.run == run, log_chunk.c.n == n)
    first = select(func.max(log_chunk.c.start)).where(*mine, log_chunk.c.start <= offset).scalar_subquery()
    query = select(log_chunk.c.start, log_chunk.c.data).where(*mine, log_chunk.c.start >= first)
    parts = [
        data[max(0, offset - start) : end - start]
        for start, data in connection.execute(query.where(log_chunk.c.start < end).order_by(log_chunk.c.start))
    ]
    return b"".join(parts)
