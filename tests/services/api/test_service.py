"""The api's life: ports, starting, and stopping in the middle of waits and streams."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.api.service import ApiService
from shared.errors import ConfigurationError
from tests.services.api.conftest import BUILD, CONFIG, TOKEN, House, open_house, read_flow
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_a_port_in_use_is_said_in_one_line(house: House) -> None:
    second = ApiService(house.bus, house.store, replace(CONFIG, port=house.api.port))
    with pytest.raises(ConfigurationError) as raised:
        await second.start()
    assert str(raised.value) == (
        f"127.0.0.1:{house.api.port} is in use: stop what listens there, or choose another address with --bind"
    )
    await second.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
async def test_an_address_of_another_machine_is_refused(house: House, host: str) -> None:
    with pytest.raises(ConfigurationError, match="--bind"):
        await ApiService(house.bus, house.store, replace(CONFIG, host=host)).start()


async def test_stopping_ends_waits_and_streams_soon(tmp_path: Path) -> None:
    """API.md: bounded at shutdown. A wait is answered with what is known, streams end."""
    async with open_house(tmp_path) as house:
        await house.store.put_flow(read_flow("build", BUILD), source="api")
        ref = await house.started()
        await house.hub.assign(ref)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=house.client.base_url, headers=headers, timeout=10) as client:
            waiting = asyncio.create_task(client.post("/flows/build/runs?wait=ended", json={}))
            following = asyncio.create_task(client.get(f"/runs/{ref}/nodes/compile/log?follow=true"))
            streaming = asyncio.create_task(client.get(f"/events?run={ref}"))
            everything = asyncio.create_task(client.get("/events"))
            live = house.api.app.state.desk.live
            await wait_until(lambda: live.watching == 4, what="four clients wait")
            began = time.monotonic()
            await house.api.stop()
            assert time.monotonic() - began < 15
            assert (await waiting).status_code == 202
            assert (await following).status_code == 200
            assert (await streaming).text.count("data: ") > 3
            assert (await everything).status_code == 200
        assert live.watching == 0


async def test_a_client_that_never_reads_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.store.put_flow(read_flow("build", BUILD), source="api")
        ref = await house.started()
        await house.hub.assign(ref)
        await house.hub.finish(ref, 1, log=b"x" * 20_000_000)
        _, writer = await asyncio.open_connection("127.0.0.1", house.api.port)
        path = f"/api/v1/runs/{ref}/nodes/compile/log"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        await writer.drain()
        began = time.monotonic()
        await house.api.stop()
        assert time.monotonic() - began < 15
        writer.close()


async def test_a_client_that_goes_away_leaves_nothing_behind(house: House) -> None:
    ref = await house.started()
    live = house.api.app.state.desk.live
    for path in (f"/events?run={ref}", "/events", f"/runs/{ref}/nodes/compile/log?follow=true"):
        await house.hub.assign(ref)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx.AsyncClient(base_url=house.client.base_url, headers=headers) as client,
            client.stream("GET", path),
        ):
            await wait_until(lambda: live.watching == 1, what="it listens")
        await wait_until(lambda: live.watching == 0, what=f"{path} is let go")


async def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.api.stop()
        await house.api.stop()
