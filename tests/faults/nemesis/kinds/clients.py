"""People who watch: X16. Clients that never read, hundreds of streams, the api restarted in mid-stream."""

import asyncio
import json
import random
import socket
from contextlib import suppress

import httpx

from tests.faults.nemesis.kinds.fault import Fault
from tests.faults.nemesis.world import World
from tests.system.deployed import TOKEN

_STREAMS, _DEAF = 150, 100
_BEARER = {"Authorization": f"Bearer {TOKEN}"}


def watch(world: World, rng: random.Random) -> str:
    """Streams of runs' events that go on by Last-Event-ID, deaf ones beside them; the api falls in between."""
    world.wait_well()
    deaf = [_deaf_client(world) for _ in range(_DEAF)]
    how = rng.choice(("SIGTERM", "kill -9"))
    try:
        watching = world.loop.run(_watch(world, how), 150)
    finally:
        for client in deaf:
            if client:
                client.close()
    return f"{watching} streams followed to their end, {sum(1 for client in deaf if client)} deaf, api {how}"


def _deaf_client(world: World) -> socket.socket | None:
    try:
        client = socket.create_connection(("127.0.0.1", world.house.port), timeout=5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        client.sendall(request.encode())
    except OSError:
        return None
    return client


async def _watch(world: World, how: str) -> int:
    base = f"{world.house.address}/api/v1"
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=base, headers=_BEARER, timeout=30, limits=limits) as api:
        found = (await api.get("/runs", params={"limit": 500})).json()["items"]
        newest = [item["ref"] for item in found][:_STREAMS]
        followers = [asyncio.create_task(_follow(world, api, ref)) for ref in newest]
        await asyncio.sleep(2)
        await asyncio.to_thread(_restart, world, how)
        done, late = await asyncio.wait(followers, timeout=100) if followers else (set(), set())
        for task in late:
            task.cancel()
        if late:
            world.violations.append(
                f"X16 {len(late)} of {len(followers)} streams did not end 100 s after the api's fall"
            )
        return len(done)


def _restart(world: World, how: str) -> None:
    if how == "SIGTERM":
        world.house.stop("api")
    else:
        world.house.kill("api")
    world.house.start("api")


async def _follow(world: World, api: httpx.AsyncClient, ref: str) -> None:
    """Read a run's events to the last; every seq must come once, in order, over any number of connections."""
    last = 0
    while True:
        headers = {"Last-Event-ID": str(last)} if last else {}
        with suppress(httpx.HTTPError):
            async with api.stream("GET", "/events", params={"run": ref}, headers=headers) as answer:
                if answer.status_code == 204:
                    return
                if answer.status_code == 200:
                    async for line in answer.aiter_lines():
                        if not line.startswith("data:"):
                            continue
                        event = json.loads(line[5:])
                        if event["seq"] != last + 1:
                            world.violations.append(f"X16 the stream of {ref} went from {last} to {event['seq']}")
                        last = event["seq"]
                        if event["tag"] == "sys.end.all":
                            return
        await asyncio.sleep(0.5)


FAULTS = (Fault("X16", "streams, deaf clients, the api restarted in mid-stream", watch),)
