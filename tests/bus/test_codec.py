"""The wire format: everything comes back as it went, and nothing that comes in can hurt."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus import codec
from shared.bus import messages as m
from shared.errors import InvalidInput
from tests.bus import examples as ex


def decode(body: bytes) -> codec.Decoded:
    return codec.decode(body, queue="q", at=ex.AT)


def body_of(*messages: m.Message) -> bytes:
    return codec.join([codec.encode(message) for message in messages])


@given(st.lists(ex.any_batched, min_size=1, max_size=5))
def test_a_batch_comes_back_as_it_went(messages: list[m.Message]) -> None:
    assert decode(body_of(*messages)) == codec.Decoded(messages)


@given(ex.any_of(m.OutputChunk))
def test_output_comes_back_byte_for_byte(message: m.OutputChunk) -> None:
    assert decode(body_of(message)) == codec.Decoded([message])


def test_output_travels_raw() -> None:
    header, _, data = body_of(ex.chunk(7, b"\x00\n\xff")).partition(b"\n")
    assert data == b"\x00\n\xff"
    assert json.loads(header)["offset"] == 7


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_become_a_dead_letter(body: bytes) -> None:
    decoded = decode(body)
    assert decoded.messages or decoded.dead or b'"messages"' in body


@given(ex.any_message, st.data())
def test_a_damaged_body_never_raises(message: m.Message, data: st.DataObject) -> None:
    body = bytearray(body_of(message))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    decode(bytes(body))


@given(ex.any_message, st.data())
def test_a_cut_body_is_a_dead_letter(message: m.Message, data: st.DataObject) -> None:
    body = body_of(message)
    decoded = decode(body[: data.draw(st.integers(0, len(body) - 1))])
    assert not decoded.messages
    assert len(decoded.dead) == 1


@given(ex.any_of(m.OutputChunk), st.data())
def test_cut_output_is_a_dead_letter(message: m.OutputChunk, data: st.DataObject) -> None:
    body = body_of(message)
    assert not decode(body[: data.draw(st.integers(0, len(body) - 1))]).messages


@pytest.mark.parametrize(
    "bad",
    [b'{"type":"Unheard","id":"x"}', b'{"id":"x"}', b"7", b'{"type":"PendAdded","id":"x"}', b"[]"],
    ids=["unknown type", "no type", "a number", "fields missing", "a list"],
)
def test_a_bad_message_costs_its_neighbours_nothing(bad: bytes) -> None:
    good = codec.encode(ex.pend(1)), codec.encode(ex.pend(2))
    decoded = decode(codec.join([good[0], codec.Encoded("x", bad, alone=False), good[1]]))
    assert decoded.messages == [ex.pend(1), ex.pend(2)]
    assert [(letter.queue, letter.body) for letter in decoded.dead] == [("q", bad.decode())]
    assert decoded.dead[0].reason


def test_unknown_fields_are_ignored() -> None:
    known = json.loads(codec.encode(ex.pend(1)).data) | {"colour": "red"}
    body = json.dumps({"v": 1, "messages": [known], "later": True}).encode()
    assert decode(body) == codec.Decoded([ex.pend(1)])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"v":2,"messages":[]}', b"[" * 100_000, b'{"v":1,"messages":[' + b"[" * 100_000, b"\xff\xfe"],
    ids=["empty", "cut", "version 2", "deep", "deep inside", "no text"],
)
def test_a_body_that_makes_no_sense_is_one_dead_letter(body: bytes) -> None:
    decoded = decode(body)
    assert not decoded.messages
    assert len(decoded.dead) == 1


def test_a_body_over_the_limit_is_a_dead_letter_with_the_start_of_it() -> None:
    decoded = decode(body_of(ex.pend(1)) + b" " * codec.MAX_BODY_BYTES)
    assert not decoded.messages
    assert decoded.dead[0].body.startswith('{"v":1')
    assert len(decoded.dead[0].body) == 64 * 1024


def test_copies_of_a_bad_body_are_one_dead_letter() -> None:
    assert decode(b"{").dead[0].id == decode(b"{").dead[0].id != decode(b"[").dead[0].id


@pytest.mark.parametrize(
    "message",
    [
        ex.trigger(1, opts={"x": "\ud800"}),
        ex.trigger(1, opts={"x": object()}),
        ex.trigger(1, opts={"x": "y" * codec.MAX_BODY_BYTES}),
        ex.chunk(0, ex.TOO_MUCH_OUTPUT),
    ],
    ids=["half a character", "no JSON", "too long", "too much output"],
)
def test_what_cannot_travel_is_refused_with_its_id(message: m.Message) -> None:
    with pytest.raises(InvalidInput, match=message.id):
        codec.encode(message)
