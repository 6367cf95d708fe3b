"""What the port promises, held against every adapter."""

import asyncio

import pytest

from shared.bus import messages as m
from shared.bus import port
from shared.bus.port import Bus, QueueTaken
from tests.bus import examples as ex
from tests.bus.collector import Collector
from tests.bus.conftest import BusFactory
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


def ids(messages: list[m.Message]) -> list[str]:
    return [message.id for message in messages]


async def test_a_kept_message_arrives_as_it_went(bus: Bus) -> None:
    got = Collector()
    await bus.subscribe(port.TRIGGERS, got)
    sent = ex.trigger(1, opts={"a": [1, {"b": None}], "ü": "x\n"}, actor="ann")
    await bus.publish([sent])
    await wait_until(lambda: got.messages == [sent])


async def test_output_arrives_byte_for_byte(bus: Bus) -> None:
    got = Collector()
    await bus.subscribe(port.LOGS, got)
    chunks = [ex.chunk(n, bytes([n % 256]) * 1_000) for n in range(20)]
    await bus.publish(chunks)
    await wait_until(lambda: got.messages == chunks)


async def test_a_thousand_kept_messages_arrive_in_order_and_in_few_batches(bus: Bus) -> None:
    got = Collector()
    await bus.subscribe(port.CONTROL, got, batch=200)
    sent: list[m.Message] = [ex.cancel(n) for n in range(1_000)]
    await bus.publish(sent)
    await wait_until(lambda: got.ids == ids(sent))
    assert max(map(len, got.batches)) <= 200
    assert len(got.batches) <= 50


async def test_a_handler_gets_no_more_than_it_asked_for(bus: Bus) -> None:
    got = Collector()
    await bus.subscribe(port.CONTROL, got, batch=7)
    await bus.publish([ex.cancel(n) for n in range(100)])
    await wait_until(lambda: len(got.ids) == 100)
    assert max(map(len, got.batches)) <= 7


async def test_what_waits_is_taken_at_once_and_one_call_runs_at_a_time(bus: Bus) -> None:
    got = Collector()
    got.gate.clear()
    await bus.subscribe(port.CONTROL, got)
    publishers = [asyncio.create_task(bus.publish([ex.cancel(n)])) for n in range(50)]
    await wait_until(lambda: got.running == 1)
    got.gate.set()
    await asyncio.gather(*publishers)
    await wait_until(lambda: len(got.ids) == 50)
    assert got.most_running == 1
    assert len(got.batches) < 25


async def test_order_of_each_sender_is_kept(bus_factory: BusFactory) -> None:
    got = Collector()
    await (await bus_factory()).subscribe(port.CONTROL, got)

    async def send(sender: int) -> None:
        own = await bus_factory()
        for start in range(0, 60, 3):
            await own.publish([ex.cancel(1_000 * sender + n) for n in range(start, start + 3)])

    await asyncio.gather(*[send(sender) for sender in (1, 2, 3)])
    await wait_until(lambda: len(got.ids) == 180)
    for sender in (1, 2, 3):
        mine = [name for name in got.ids if name.startswith(f"c{sender}")]
        assert mine == [f"c{1_000 * sender + n}" for n in range(60)]


async def test_one_publish_reaches_every_destination(bus: Bus) -> None:
    await bus.declare_agent("a1")
    collectors = {queue: Collector() for queue in (port.TRIGGERS, port.CONTROL, port.REPORTS, port.DISPATCHER)}
    collectors[port.agent_queue("a1")] = Collector()
    for queue, collector in collectors.items():
        await bus.subscribe(queue, collector)
    sent = [ex.trigger(1), ex.cancel(2), ex.finished(3), ex.pend(4), ex.stop(5, "a1")]
    await bus.publish(sent)
    await wait_until(lambda: [c.ids for c in collectors.values()] == [[message.id] for message in sent])


async def test_a_handler_that_raises_gets_the_same_batch_again_and_nothing_is_lost(bus: Bus) -> None:
    got = Collector(fail=lambda tries: tries <= 3)
    await bus.subscribe(port.CONTROL, got, batch=10)
    first = asyncio.create_task(bus.publish([ex.cancel(n) for n in range(5)]))
    await wait_until(lambda: got.tried)
    rest = asyncio.create_task(bus.publish([ex.cancel(n) for n in range(5, 10)]))
    await asyncio.gather(first, rest)
    await wait_until(lambda: len(got.ids) == 10)
    assert got.tried[:4] == [got.tried[0]] * 4
    assert got.ids == [f"c{n}" for n in range(10)]


async def test_a_hint_that_nobody_wants_is_dropped_in_silence(bus: Bus) -> None:
    async with asyncio.timeout(2):
        await bus.publish([ex.pend(1), ex.beat(1), ex.grew(1), ex.stop(1, "nobody")])


async def test_hints_never_block_and_are_dropped_when_too_many_wait(bus: Bus) -> None:
    got = Collector()
    got.gate.clear()
    await bus.subscribe(port.LIVE, got)
    async with asyncio.timeout(5):
        for start in range(0, 40_000, 1_000):
            await bus.publish([ex.grew(n) for n in range(start, start + 1_000)])
    got.gate.set()
    await wait_until(lambda: got.ids and not got.running)
    await bus.publish([ex.grew(-1)])
    await wait_until(lambda: "g-1" in got.ids)
    assert len(got.ids) < 40_000


async def test_hints_reach_a_consumer_whose_handler_failed(bus: Bus) -> None:
    got = Collector(fail=lambda tries: tries == 1)
    await bus.subscribe(port.DISPATCHER, got)
    await bus.publish([ex.pend(1)])
    await wait_until(lambda: got.ids == ["p1"])


async def test_competing_consumers_share(bus_factory: BusFactory) -> None:
    first, second = Collector(), Collector()
    for collector in (first, second):
        await (await bus_factory()).subscribe(port.TRIGGERS, collector, batch=5)
    sender = await bus_factory()
    for start in range(0, 200, 10):
        await asyncio.gather(*[sender.publish([ex.trigger(n)]) for n in range(start, start + 10)])
    await wait_until(lambda: len(first.ids) + len(second.ids) == 200)
    assert sorted(first.ids + second.ids) == sorted(f"t{n}" for n in range(200))


async def test_a_busy_consumer_leaves_the_rest_to_others(bus_factory: BusFactory) -> None:
    busy, free = Collector(), Collector()
    busy.gate.clear()
    one, other = await bus_factory(), await bus_factory()
    await one.subscribe(port.TRIGGERS, busy, batch=1)
    publishers = [asyncio.create_task(one.publish([ex.trigger(0)]))]
    await wait_until(lambda: busy.running)
    await other.subscribe(port.TRIGGERS, free, batch=1)
    publishers += [asyncio.create_task(one.publish([ex.trigger(n)])) for n in range(1, 9)]
    await wait_until(lambda: len(free.ids) >= 4)
    busy.gate.set()
    await asyncio.gather(*publishers)
    await wait_until(lambda: len(busy.ids) + len(free.ids) == 9)


@pytest.mark.parametrize(("queue", "hint"), [(port.BEATS, ex.beat(1)), (port.LIVE, ex.grew(1))], ids=["beats", "live"])
async def test_every_subscriber_has_its_own_copy(bus_factory: BusFactory, queue: port.Queue, hint: m.Message) -> None:
    first, second = Collector(), Collector()
    one, other = await bus_factory(), await bus_factory()
    await one.subscribe(queue, first)
    subscription = await other.subscribe(queue, second)
    await one.publish([hint])
    await wait_until(lambda: first.ids == second.ids == [hint.id])
    await subscription.stop()
    await one.publish([hint])
    await wait_until(lambda: len(first.messages) == 2)
    assert len(second.messages) == 1


async def test_an_agents_queue_has_one_consumer(bus_factory: BusFactory) -> None:
    one, other = await bus_factory(), await bus_factory()
    got, again = Collector(), Collector()
    await one.declare_agent("a1")
    await one.declare_agent("a1")
    subscription = await one.subscribe(port.agent_queue("a1"), got)
    with pytest.raises(QueueTaken, match=r"floe\.agent\.a1"):
        await other.subscribe(port.agent_queue("a1"), again)
    await other.publish([ex.stop(1, "a1"), ex.stop(2, "a2")])
    await wait_until(lambda: got.ids == ["s1"])
    await subscription.stop()
    await other.subscribe(port.agent_queue("a1"), again)
    await one.publish([ex.stop(3, "a1")])
    await wait_until(lambda: again.ids == ["s3"])


async def test_stop_lets_the_handler_finish_and_takes_no_more(bus: Bus) -> None:
    got = Collector()
    got.gate.clear()
    subscription = await bus.subscribe(port.CONTROL, got, batch=1)
    first = asyncio.create_task(bus.publish([ex.cancel(1)]))
    await wait_until(lambda: got.running)
    second = asyncio.create_task(bus.publish([ex.cancel(2)]))
    stopping = asyncio.create_task(subscription.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    got.gate.set()
    await stopping
    await subscription.stop()
    await first
    assert got.ids == ["c1"]
    heir = Collector()
    await bus.subscribe(port.CONTROL, heir)
    await second
    await wait_until(lambda: heir.ids == ["c2"])


async def test_close_finishes_what_is_in_hand(bus_factory: BusFactory) -> None:
    receiver, sender = await bus_factory(), await bus_factory()
    got = Collector()
    got.gate.clear()
    await receiver.subscribe(port.CONTROL, got)
    publishing = asyncio.create_task(sender.publish([ex.cancel(1)]))
    await wait_until(lambda: got.running)
    closing = asyncio.create_task(receiver.close())
    await asyncio.sleep(0)
    got.gate.set()
    await closing
    await receiver.close()
    await publishing
    assert got.ids == ["c1"]


async def test_a_handler_may_publish_while_its_bus_closes(bus_factory: BusFactory) -> None:
    working, watching = await bus_factory(), await bus_factory()
    got, entered, step = Collector(), asyncio.Event(), asyncio.Event()
    await watching.subscribe(port.LIVE, got)

    async def relay(_: object) -> None:
        entered.set()
        await step.wait()
        await working.publish([ex.grew(1)])

    await working.subscribe(port.CONTROL, relay)
    publishing = asyncio.create_task(watching.publish([ex.cancel(1)]))
    await asyncio.wait_for(entered.wait(), 10)
    closing = asyncio.create_task(working.close())
    await asyncio.sleep(0)
    step.set()
    await asyncio.gather(closing, publishing)
    if working is not watching:
        await wait_until(lambda: got.ids == ["g1"])


async def test_many_publishers_at_once_lose_nothing(bus_factory: BusFactory) -> None:
    got = Collector()
    await (await bus_factory()).subscribe(port.TRIGGERS, got)
    buses = [await bus_factory() for _ in range(3)]

    async def send(sender: int) -> None:
        for n in range(20):
            await buses[sender % 3].publish([ex.trigger(f"{sender}.{n}")])

    await asyncio.gather(*[send(sender) for sender in range(30)])
    await wait_until(lambda: len(got.ids) == 600)
    assert len(set(got.ids)) == 600


async def test_a_dead_letter_waits_for_somebody_to_look(bus: Bus) -> None:
    letter = m.DeadLetter(id="d1", at=ex.AT, queue="floe.reports", reason="of another epoch", body="{}")
    await bus.publish([letter])
    got = Collector()
    await bus.subscribe(port.DEAD, got)
    await wait_until(lambda: got.messages == [letter])
