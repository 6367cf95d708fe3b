"""`GET /events`: a run's stream has every event once, in order, however it is interrupted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from shared.bus.messages import RunEvents
from shared.runs.refs import RunRef
from tests.services.api.conftest import TOKEN, House
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


class Events:
    """A reader of server-sent events, for what this api sends."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def read(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        last = ""
        async for line in self._lines:
            if line.startswith("id: "):
                last = line[4:]
            if line.startswith("data: "):
                yield last, orjson.loads(line[6:])

    async def take(self, count: int) -> list[dict[str, Any]]:
        found = []
        async for _, event in self.read():
            found.append(event)
            if len(found) == count:
                break
        return found


@asynccontextmanager
async def listening(house: House, query: str, **headers: str) -> AsyncIterator[Events]:
    sent = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        httpx.AsyncClient(base_url=str(house.client.base_url), headers=sent, timeout=10) as client,
        client.stream("GET", f"/events?{query}") as answer,
    ):
        yield Events(answer)


async def seqs(house: House, query: str, **headers: str) -> list[int]:
    async with listening(house, query, **headers) as events:
        return [event["seq"] async for _, event in events.read()]


async def watching(house: House) -> None:
    await wait_until(lambda: house.api.app.state.desk.live.watching, what="somebody listens")


async def test_a_stream_begins_with_the_first_event_and_ends_after_the_last(house: House) -> None:
    ref = await house.started()
    async with listening(house, f"run={ref}") as events:
        assert events.answer.headers["content-type"].startswith("text/event-stream")
        await house.hub.assign(ref)
        await house.hub.finish(ref, 1)
        got = [pair async for pair in events.read()]
    stored = (await house.client.get(f"/runs/{ref}/events")).json()["items"]
    assert [event for _, event in got] == stored
    assert [last for last, _ in got] == [str(event["seq"]) for event in stored]
    assert got[-1][1]["tag"] == "sys.end.all"


async def test_a_stream_is_resumed_without_a_gap_or_a_repetition(house: House) -> None:
    ref = await house.started()
    await house.hub.assign(ref)
    async with listening(house, f"run={ref}") as events:
        last = (await events.take(3))[-1]["seq"]
    await house.hub.finish(ref, 1)
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    assert await seqs(house, f"run={ref}", Last_Event_ID=str(last)) == list(range(last + 1, total + 1))
    assert await seqs(house, f"run={ref}&after={last}") == list(range(last + 1, total + 1))


async def test_a_known_end_is_204(house: House) -> None:
    ref = await house.started()
    await house.client.post(f"/runs/{ref}/cancel")
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    answer = await house.client.get(f"/events?run={ref}", headers={"Last-Event-ID": str(total)})
    assert answer.status_code == 204


async def test_what_is_lost_or_doubled_on_the_way_is_read_from_the_store(house: House) -> None:
    ref = await house.started()
    following = asyncio.create_task(seqs(house, f"run={ref}"))
    await watching(house)
    house.hub.deaf = True
    await house.hub.assign(ref)
    house.hub.deaf = False
    await house.hub.finish(ref, 1)
    (first,) = await house.store.events(ref, 0, 1)
    old = RunEvents(id="x", at=first.at, run=ref, flow="build", ver=1, phase="active", outcome=None, trigger_id="t")
    await house.bus.publish([old])
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    assert await following == list(range(1, total + 1))


async def test_a_silent_bus_is_no_reason_to_miss_the_end(house: House) -> None:
    ref = await house.started()
    house.hub.deaf = True
    following = asyncio.create_task(seqs(house, f"run={ref}"))
    await watching(house)
    await house.hub.assign(ref)
    await house.hub.finish(ref, 1)
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    assert await following == list(range(1, total + 1))


async def test_a_stream_outlives_an_absence_of_the_store(house: House) -> None:
    ref = await house.started()
    following = asyncio.create_task(seqs(house, f"run={ref}"))
    await watching(house)
    await house.store.close()
    await wait_until(lambda: unavailable(house), what="the api finds the store away")
    await house.store.start(migrate=False)
    await house.client.post(f"/runs/{ref}/cancel")
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    assert await following == list(range(1, total + 1))


async def unavailable(house: House) -> bool:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{house.address}/health/ready")).status_code == 503


async def test_streams_of_a_flow_and_of_everything_begin_now(house: House) -> None:
    before = await house.started()
    async with listening(house, "flow=build") as of_flow, listening(house, "") as of_all:
        await wait_until(lambda: house.api.app.state.desk.live.watching == 2, what="both listen")
        other, mine = await house.started("pair"), await house.started()
        assert {event["run"] for event in await of_flow.take(1)} == {mine}
        assert [event["run"] for event in await of_all.take(2)] == [other, mine]
    assert before not in (other, mine)


@pytest.mark.parametrize(
    ("query", "last", "status"), [("run=h1-99", "", 404), ("run=x", "", 404), ("run={ref}", "abc", 400)]
)
async def test_a_stream_that_cannot_be_is_refused(house: House, query: str, last: str, status: int) -> None:
    ref = await house.started()
    headers = {"Last-Event-ID": last} if last else {}
    answer = await house.client.get(f"/events?{query.format(ref=ref)}", headers=headers)
    assert answer.status_code == status
    assert isinstance(ref, str)
    assert RunRef(ref)
