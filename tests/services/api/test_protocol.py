"""What nobody has to be known for is bounded: the head of a request, in bytes and in time (RELIABILITY §4, floods)."""

import asyncio
import json
import time
from typing import Any

import pytest

from services.api.protocol import HEAD_BYTES, BoundedProtocol
from tests.services.api.conftest import House

pytestmark = pytest.mark.anyio

BEGIN = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


async def say(house: House, *parts: bytes) -> bytes:
    """What the server answers to these bytes until it hangs up; it must."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.api.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def refusal(answer: bytes) -> dict[str, Any]:
    """The problem in an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    found: dict[str, Any] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % found["status"])
    return found


@pytest.mark.parametrize("fill", [b"X-%d: %s\r\n", b"%d%s"])
async def test_a_head_without_end_is_refused(house: House, fill: bytes) -> None:
    """Many headers, or one that goes on and on: both cost what one read brings and no more."""
    opening = BEGIN if b":" in fill else BEGIN + b"X: "
    more = [fill % (n, b"a" * 1000) for n in range(HEAD_BYTES // 100)]
    answer = await say(house, opening, *more)
    assert answer == b"" or refusal(answer)["status"] == 431


@pytest.mark.parametrize("said", [b"", b"GET / HT", BEGIN + b"X: "])
async def test_a_head_that_does_not_come_is_not_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    assert refusal(await say(house, said))["status"] == 408


async def test_a_second_request_has_its_own_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.3)
    answer = await say(house, BEGIN + b"\r\n", BEGIN)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize(
    "said",
    [
        b"NO HTTP\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem(house: House, said: bytes) -> None:
    assert refusal(await say(house, said))["status"] == 400


async def test_a_long_stream_is_not_taken_for_a_late_head(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.05)
    pings, began = 0, time.monotonic()
    async with asyncio.timeout(20), house.client.stream("GET", "/events") as answer:
        async for piece in answer.aiter_bytes():
            pings += piece.count(b": still here")
            if pings > 2 and time.monotonic() - began > 0.2:
                break
    assert pings > 2
