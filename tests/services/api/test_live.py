"""The fan-out of live messages: who hears what, and what a reader that does not read costs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.api.live import EVERYTHING, Live, flow_key, run_key, trigger_key
from shared.bus.memory import MemoryBus
from shared.bus.messages import LogGrew, RunEvents, TriggerSettled
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


def of_run(ref: str, flow: str = "build", trigger: str = "t") -> RunEvents:
    return RunEvents(id=ref, at=NOW, run=ref, flow=flow, ver=1, phase="active", outcome=None, trigger_id=trigger)


def grew(ref: str, length: int = 1) -> LogGrew:
    return LogGrew(id=ref, at=NOW, run=ref, n=1, length=length)


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    opened = MemoryBus()
    yield opened
    await opened.close()


@pytest.fixture
async def live(bus: MemoryBus) -> AsyncIterator[Live]:
    opened = Live(bus)
    await opened.start()
    yield opened
    await opened.stop()


async def test_each_watch_hears_what_it_asked_for(bus: MemoryBus, live: Live) -> None:
    with (
        live.watch(run_key("h1-1")) as run,
        live.watch(flow_key("build")) as flow,
        live.watch(EVERYTHING) as everything,
        live.watch(trigger_key("t")) as trigger,
    ):
        said = [of_run("h1-1"), of_run("h1-2", trigger="u"), of_run("h1-3", "other", "u"), grew("h1-1"), grew("h1-2")]
        await bus.publish(said)
        heard = [(await watch.take(1)).messages for watch in (run, flow, everything, trigger)]
    assert heard == [[said[0], said[3]], said[:2], said[:3], [said[0], said[3]]]


async def test_a_trigger_is_heard_of_until_its_runs_end(bus: MemoryBus, live: Live) -> None:
    with live.watch(trigger_key("t")) as watch:
        settled = TriggerSettled(id="s", at=NOW, trigger_id="t", runs=["h1-1", "h1-2"])
        await bus.publish([settled, grew("h1-2"), of_run("h1-1", trigger="t")])
        assert [message.id for message in (await watch.take(1)).messages] == ["s", "h1-2", "h1-1"]
    assert live.watching == 0


async def test_silence_is_an_empty_answer(live: Live) -> None:
    with live.watch(EVERYTHING) as watch:
        taken = await watch.take(0.01)
    assert (taken.messages, taken.missed, taken.closed) == ((), False, False)


async def test_a_reader_that_falls_behind_is_told_and_costs_no_more(bus: MemoryBus, live: Live) -> None:
    with live.watch(run_key("h1-1"), capacity=10) as slow, live.watch(run_key("h1-1")) as quick:
        await bus.publish([grew("h1-1", n) for n in range(25)])
        await wait_until(lambda: slow.waiting == 3, what="all came")
        taken = await slow.take(1)
        assert taken.missed
        assert [message.length for message in taken.messages if isinstance(message, LogGrew)] == [22, 23, 24]
        assert len((await quick.take(1)).messages) == 25
        await bus.publish([grew("h1-1")])
        assert not (await slow.take(1)).missed


async def test_closing_wakes_everybody_now_and_later(live: Live) -> None:
    with live.watch(EVERYTHING) as before:
        live.close()
        assert (await before.take(60)).closed
        with live.watch(EVERYTHING) as after:
            assert (await after.take(60)).closed
