"""`GET /events`: a run's stream has every event once, in order, however it is interrupted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from shared.bus.messages import RunEvents
from shared.runs.events import event_json
from shared.runs.refs import RunRef
from tests.services.api.conftest import BUILD, CONFIG, TOKEN, House, open_house, read_flow
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
                yield last, msgspec.json.decode(line[6:])

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


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[House]:
    """An api that does not look into the store by itself while a test lasts."""
    async with open_house(tmp_path / "patient", replace(CONFIG, poll_seconds=60, keep_alive_seconds=60)) as opened:
        await opened.store.put_flow(read_flow("build", BUILD), source="api")
        yield opened


async def test_what_is_lost_or_doubled_on_the_way_is_made_good_at_once(patient: House) -> None:
    house = patient
    ref = await house.started()
    async with listening(house, f"run={ref}") as events:
        reading = events.read()
        got = [(await anext(reading))[1]]
        house.hub.deaf = True
        await house.hub.assign(ref)
        house.hub.deaf = False
        await say_again(house, ref)
        got.extend([(await anext(reading))[1] for _ in range(4)])
        await say_again(house, ref)
        await house.hub.finish(ref, 1)
        got.extend([event async for _, event in reading])
    total = (await house.client.get(f"/runs/{ref}")).json()["seq"]
    assert [event["seq"] for event in got] == list(range(1, total + 1))


async def say_again(house: House, ref: RunRef) -> None:
    """All but the first of the run's events so far, once more."""
    events = [event_json(event, "build", 1) for event in await house.store.events(ref, 1, 100)]
    again = RunEvents(
        id="again",
        at=datetime.now(UTC),
        run=ref,
        flow="build",
        ver=1,
        phase="active",
        outcome=None,
        trigger_id="t",
        events=events[1:],
    )
    await house.bus.publish([again])


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
