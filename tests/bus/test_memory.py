"""What the in-process bus promises beyond the port: kept means handled."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.bus import port
from shared.bus.memory import MemoryBus
from shared.bus.port import BusUnavailable
from tests.bus import examples as ex
from tests.bus.collector import Collector
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def memory() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus(publish_timeout_seconds=0.3, retries=1)
    yield bus
    await bus.close()


async def test_a_kept_publish_returns_when_its_messages_are_handled(memory: MemoryBus) -> None:
    got = Collector()
    await memory.subscribe(port.TRIGGERS, got)
    await memory.subscribe(port.CONTROL, got)
    await memory.publish([ex.trigger(1), ex.cancel(1)])
    assert sorted(got.ids) == ["c1", "t1"]


async def test_a_handler_gets_the_very_message(memory: MemoryBus) -> None:
    got = Collector()
    await memory.subscribe(port.TRIGGERS, got)
    sent = ex.trigger(1, opts={"x": object()})
    await memory.publish([sent])
    assert got.messages[0] is sent


async def test_a_handlers_error_reaches_every_publisher_of_the_batch(memory: MemoryBus) -> None:
    failing = Collector(fail=lambda _: True)
    await memory.subscribe(port.TRIGGERS, failing)
    publishes = [memory.publish([ex.trigger(n)]) for n in range(2)]
    errors = await asyncio.gather(*publishes, return_exceptions=True)
    assert [type(error) for error in errors] == [BusUnavailable] * 2
    assert all("told to fail" in str(error) for error in errors)
    assert failing.tried == [["t0", "t1"]] * 2


async def test_hints_of_a_handler_that_goes_on_failing_are_dropped_and_the_next_are_handled(memory: MemoryBus) -> None:
    got = Collector(fail=lambda tries: tries <= 2)
    await memory.subscribe(port.DISPATCHER, got)
    await memory.publish([ex.pend(1)])
    await wait_until(lambda: len(got.tried) == 2)
    await memory.publish([ex.pend(2)])
    await wait_until(lambda: got.ids == ["p2"])


async def test_a_kept_message_waits_for_its_first_consumer(memory: MemoryBus) -> None:
    publishing = asyncio.create_task(memory.publish([ex.cancel(1)]))
    await asyncio.sleep(0)
    got = Collector()
    await memory.subscribe(port.CONTROL, got)
    await publishing
    assert got.ids == ["c1"]


async def test_a_kept_message_that_nobody_takes_fails_in_time_and_is_forgotten(memory: MemoryBus) -> None:
    with pytest.raises(BusUnavailable, match=r"0\.3 s"):
        await memory.publish([ex.cancel(1)])
    got = Collector()
    await memory.subscribe(port.CONTROL, got)
    await memory.publish([ex.cancel(2)])
    assert got.ids == ["c2"]


async def test_a_full_queue_drops_the_hints_that_come(memory: MemoryBus) -> None:
    small = MemoryBus(hints_per_queue=10)
    got = Collector()
    got.gate.clear()
    await small.subscribe(port.LIVE, got)
    await small.publish([ex.grew(n) for n in range(25)])
    got.gate.set()
    await wait_until(lambda: got.ids == [f"g{n}" for n in range(10)])
    await small.close()


async def test_after_close_nothing_is_taken_and_who_waits_is_told(memory: MemoryBus) -> None:
    waiting = asyncio.create_task(memory.publish([ex.cancel(1)]))
    await asyncio.sleep(0)
    await memory.close()
    with pytest.raises(BusUnavailable, match="closed"):
        await waiting
    with pytest.raises(BusUnavailable, match="closed"):
        await memory.publish([ex.cancel(2)])


async def test_dead_letters_hold_nobody_up(memory: MemoryBus) -> None:
    letter = ex.m.DeadLetter(id="d", at=ex.AT, queue="q", reason="r", body="")
    await memory.publish([letter] * 1_500)
    got = Collector()
    await memory.subscribe(port.DEAD, got)
    await wait_until(lambda: len(got.messages) == 1_000)
