"""Output: whatever order, overlap and repetition chunks come in, the log is the bytes that were produced (I5)."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runs.refs import RunRef
from shared.store.log_pieces import PIECE_BYTES, Piece, fit
from shared.store.port import LogChunk, Store

pytestmark = pytest.mark.anyio
RUN = RunRef("h1-7")


async def append(store: Store, *chunks: tuple[int, bytes], run: RunRef = RUN, n: int = 1) -> int:
    return (await store.append_output([LogChunk(run, n, at, data) for at, data in chunks]))[run, n]


async def test_chunks_in_order_prolong_the_log(store: Store) -> None:
    assert await append(store, (0, b"abc")) == 3
    assert await append(store, (3, b"def"), (6, b"\0\xff")) == 8
    assert await store.output(RUN, 1, 0, 100) == b"abcdef\0\xff"
    assert await store.output_length(RUN, 1) == 8


async def test_repeats_and_overlaps_change_nothing_that_is_stored(store: Store) -> None:
    await append(store, (0, b"abcdef"))
    assert await append(store, (0, b"XXX"), (2, b"YYYYgh")) == 8
    assert await append(store, (0, b"abcdefgh")) == 8
    assert await store.output(RUN, 1, 0, 100) == b"abcdefgh"


async def test_what_lies_beyond_a_gap_is_kept_until_it_is_filled(store: Store) -> None:
    assert await append(store, (6, b"gh"), (4, b"ef"), (6, b"ghij")) == 0
    assert await store.output(RUN, 1, 0, 100) == b""
    assert await append(store, (2, b"cde")) == 0
    assert await append(store, (0, b"ab")) == 10
    assert await store.output(RUN, 1, 0, 100) == b"abcdefghij"


async def test_any_offset_can_be_read(store: Store) -> None:
    text = b"".join(b"%05d\n" % line for line in range(400))
    for at in range(0, len(text), 100):
        await append(store, (at, text[at : at + 100]))
    for offset, limit in ((0, 1), (99, 2), (100, 100), (250, 1000), (len(text) - 1, 10), (len(text), 10), (10**9, 1)):
        assert await store.output(RUN, 1, offset, limit) == text[offset : offset + limit]


async def test_logs_of_a_batch_are_told_apart(store: Store) -> None:
    other = RunRef("h1-8")
    chunks = [LogChunk(other, 1, 0, b"b"), LogChunk(RUN, 2, 0, b"cc"), LogChunk(RUN, 1, 5, b"beyond")]
    assert await store.append_output(chunks) == {(other, 1): 1, (RUN, 2): 2, (RUN, 1): 0}
    assert await store.append_output([]) == {}
    assert await store.output(RUN, 2, 0, 10) == b"cc"
    assert await store.output_length(RUN, 9) == 0


async def test_big_chunks_come_back_whole(store: Store) -> None:
    data = random.Random(1).randbytes(3 * PIECE_BYTES + 17)
    chunks = [(at, data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES)]
    assert await append(store, *chunks) == len(data)
    assert await store.output(RUN, 1, PIECE_BYTES - 5, PIECE_BYTES) == data[PIECE_BYTES - 5 : 2 * PIECE_BYTES - 5]


@given(data=st.data(), produced=st.binary(min_size=1, max_size=60))
def test_any_way_of_sending_gives_what_was_produced(data: st.DataObject, produced: bytes) -> None:
    """Batches of random pieces in random order, and at last everything once more with other borders."""
    span = st.tuples(st.integers(0, len(produced)), st.integers(0, 20))
    batches = data.draw(st.lists(st.lists(span, max_size=6), max_size=8))
    resent = sorted({0, len(produced), *data.draw(st.lists(st.integers(0, len(produced)), max_size=4))})
    last = list(pairwise(resent))
    stored, beyond, length = b"", list[Piece](), 0
    for batch in [*batches, [(start, stop - start) for start, stop in data.draw(st.permutations(last))]]:
        fitted = fit(length, [*beyond, *((at, produced[at : at + size]) for at, size in batch)])
        stored = _prolonged(stored, fitted.pieces)
        length, beyond = fitted.length, list(fitted.beyond)
        assert len(stored) == length
        assert produced.startswith(stored)
        assert all(at > length for at, _ in beyond)
    assert (stored, beyond) == (produced, [])


def _prolonged(stored: bytes, pieces: Sequence[Piece]) -> bytes:
    for at, data in pieces:
        assert at == len(stored)
        assert data
        stored += data
    return stored
