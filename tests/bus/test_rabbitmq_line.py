"""Bodies are cut and put back as they should, without a broker."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bus.codec import Encoded
from shared.bus.rabbitmq_line import BODY_BYTES, BODY_MESSAGES, Line, Parcel, Ticket
from shared.bus.routes import Route

pytestmark = pytest.mark.anyio

WAY = Route("floe.in", "control.run", kept=True)


def ticket() -> Ticket:
    return Ticket(asyncio.get_running_loop().create_future())


def filled(sizes: list[int], alone: bool = False) -> Line:
    owner, line = ticket(), Line(WAY)
    for number, size in enumerate(sizes):
        line.waiting.append(Parcel(number, Encoded(str(number), b"x" * size, alone), owner))
    return line


def taken(line: Line) -> list[list[int]]:
    bodies = []
    while body := line.take():
        bodies.append([parcel.number for parcel in body])
    return bodies


@given(st.lists(st.sampled_from([1, 1_000, BODY_BYTES // 3, BODY_BYTES, 2 * BODY_BYTES]), max_size=30))
async def test_bodies_keep_order_and_size(sizes: list[int]) -> None:
    bodies = taken(filled(sizes))
    assert [number for body in bodies for number in body] == list(range(len(sizes)))
    for body in bodies:
        assert len(body) == 1 or sum(sizes[number] for number in body) <= BODY_BYTES


async def test_a_body_has_a_bounded_number_of_messages() -> None:
    assert [len(body) for body in taken(filled([1] * (BODY_MESSAGES + 1)))] == [BODY_MESSAGES, 1]


async def test_output_goes_alone() -> None:
    assert taken(filled([1, 1, 1], alone=True)) == [[0], [1], [2]]


async def test_what_is_put_back_goes_first_and_in_its_old_order() -> None:
    line = filled([BODY_BYTES] * 3)
    first, second = line.take(), line.take()
    line.put_back(first)
    line.put_back(second)
    assert taken(line) == [[0], [1], [2]]


async def test_what_nobody_waits_for_is_not_sent() -> None:
    line = filled([1, 1])
    given_up = line.waiting[0].ticket
    line.waiting.append(Parcel(2, Encoded("2", b"x", alone=False), ticket()))
    given_up.done.cancel()
    assert taken(line) == [[2]]


async def test_a_ticket_is_done_with_its_last_message() -> None:
    both = ticket()
    both.open = 2
    both.confirm()
    assert not both.done.done()
    both.confirm()
    assert both.done.done()
