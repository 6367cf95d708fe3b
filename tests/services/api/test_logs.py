"""A node's output: pieces by offset, following while it grows, and what is marked when some of it never comes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.api import logs
from shared.runs.refs import RunRef
from tests.services.api.conftest import CONFIG, FLOWS, TOKEN, House, open_house, read_flow
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def running(house: House) -> RunRef:
    """A run whose task `compile` is activation 1."""
    ref = await house.started()
    await house.hub.assign(ref)
    return ref


async def test_a_log_is_bytes_from_an_offset(house: House, running: RunRef) -> None:
    output = b"caf\xc3\xa9 \xff\x00 <b>" + b"x" * 3_000_000
    for start in range(0, len(output), 200_000):
        await house.hub.print(running, 1, start, output[start : start + 200_000])
    answer = await house.client.get(f"/runs/{running}/nodes/compile/log")
    assert answer.content == output
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers["x-floe-activation"], answer.headers["x-floe-next-offset"]) == ("1", str(len(output)))
    rest = await house.client.get(f"/runs/{running}/nodes/compile/log?offset=5")
    assert rest.content == output[5:]
    beyond = await house.client.get(f"/runs/{running}/nodes/compile/log?offset=9000000")
    assert (beyond.content, beyond.headers["x-floe-next-offset"]) == (b"", "9000000")
    tail = await house.client.get(f"/runs/{running}/nodes/compile/log?tail=3")
    assert (tail.content, tail.headers["x-floe-offset"]) == (b"xxx", str(len(output) - 3))


async def test_an_idle_node_has_an_empty_log_and_an_unknown_one_none(house: House, running: RunRef) -> None:
    idle = await house.client.get(f"/runs/{running}/nodes/done/log")
    assert (idle.status_code, idle.content) == (200, b"")
    assert "x-floe-activation" not in idle.headers
    assert (await house.client.get(f"/runs/{running}/nodes/done/log?follow=true")).content == b""
    assert (await house.client.get(f"/runs/{running}/nodes/complie/log")).status_code == 404
    assert (await house.client.get(f"/runs/{running}/nodes/compile/log?activation=9")).status_code == 404
    assert (await house.client.get(f"/runs/{running}/nodes/compile/log?offset=-1")).status_code == 422


async def follow(house: House, ref: RunRef, query: str = "") -> bytes:
    return (await house.client.get(f"/runs/{ref}/nodes/compile/log?follow=true{query}")).content


async def test_following_ends_with_the_activation_and_all_its_output(house: House, running: RunRef) -> None:
    following = asyncio.create_task(follow(house, running))
    await wait_until(lambda: house.api.app.state.desk.live.watching, what="the log is followed")
    await house.hub.print(running, 1, 0, b"one\n")
    await house.hub.finish(running, 1, announce=8)
    await house.hub.print(running, 1, 4, b"two\n")
    assert await following == b"one\ntwo\n"
    assert await follow(house, running, "&offset=4") == b"two\n"


async def test_following_sees_growth_as_it_comes(house: House, running: RunRef) -> None:
    url = f"/runs/{running}/nodes/compile/log?follow=true"
    plain = house.client
    plain.event_hooks["response"].clear()
    async with plain.stream("GET", url) as answer:
        pieces = answer.aiter_raw()
        await house.hub.print(running, 1, 0, b"one\n")
        assert await anext(pieces) == b"one\n"
        await house.hub.print(running, 1, 4, b"two\n")
        assert await anext(pieces) == b"two\n"
        await house.hub.finish(running, 1, announce=8)
        assert [piece async for piece in pieces] == []


async def test_following_works_without_a_live_word(house: House, running: RunRef) -> None:
    house.hub.deaf = True
    following = asyncio.create_task(follow(house, running))
    await house.hub.finish(running, 1, log=b"quiet\n")
    assert await following == b"quiet\n"


async def test_a_gap_is_marked_after_the_grace(house: House, running: RunRef) -> None:
    await house.hub.finish(running, 1, log=b"abc", announce=10)
    assert await follow(house, running) == b"abc\n[floe: the output's bytes 3 to 10 are not stored]\n"


async def test_a_cancelled_activation_is_followed_to_its_end(house: House, running: RunRef) -> None:
    await house.client.post(f"/runs/{running}/cancel")
    following = asyncio.create_task(follow(house, running))
    await wait_until(lambda: house.api.app.state.desk.live.watching, what="the log is followed")
    assert not following.done()
    await house.hub.finish(running, 1, status=143, log=b"terminated\n")
    assert await following == b"terminated\n"


async def test_following_outlives_an_absence_of_the_store(house: House, running: RunRef) -> None:
    following = asyncio.create_task(follow(house, running))
    await wait_until(lambda: house.api.app.state.desk.live.watching, what="the log is followed")
    await house.store.close()
    await asyncio.wait({following}, timeout=2.5 * CONFIG.poll_seconds)
    await house.store.start(migrate=False)
    await house.hub.finish(running, 1, log=b"after\n")
    assert await following == b"after\n"


async def test_a_reader_that_does_not_read_counts_as_a_stream_and_holds_little(tmp_path: Path) -> None:
    async with open_house(tmp_path / "store", replace(CONFIG, most_streams=1)) as house:
        await house.store.put_flow(read_flow("build", FLOWS["build"]), source="api")
        ref = await house.started()
        await house.hub.assign(ref)
        piece = b"x" * 256 * 1024
        for start in range(0, 40 * len(piece), len(piece)):
            await house.hub.print(ref, 1, start, piece)
        desk = house.api.app.state.desk
        sizes = [len(part) async for part in logs._read(desk, logs.Log(ref, "compile", 1), 0, 10**6)]
        assert max(sizes) <= 128 * 1024
        path = f"/runs/{ref}/nodes/compile/log"
        _, writer = await asyncio.open_connection("127.0.0.1", house.api.port, limit=1024)
        asked = f"GET {CONFIG.base_url}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        writer.write(asked.encode())
        await wait_until(lambda: desk._streams == 1, what="the log is being read")
        assert (await house.client.get(path)).status_code == 503
        writer.transport.abort()
        await wait_until(lambda: desk._streams == 0, what="the reader is forgotten")
        assert (await house.client.get(f"{path}?tail=3")).content == b"xxx"
