"""The broker killed, its connections cut, its memory short, in the middle of traffic: nothing confirmed is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from shared.bus import port
from shared.bus.port import Bus, BusUnavailable
from shared.bus.rabbitmq import RabbitBus
from tests.bus import examples as ex
from tests.bus.collector import Collector
from tests.servers.rabbit import PrivateRabbit
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

Fault = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def own_rabbit() -> Iterator[PrivateRabbit]:
    with PrivateRabbit() as rabbit:
        rabbit.start()
        yield rabbit


@pytest.fixture
async def buses(own_rabbit: PrivateRabbit) -> AsyncIterator[Callable[..., Awaitable[RabbitBus]]]:
    opened: list[RabbitBus] = []
    with own_rabbit.fresh_vhost() as url:

        async def make(**options: float) -> RabbitBus:
            bus = RabbitBus(url, name=f"test{len(opened)}", **options)  # type: ignore[arg-type]
            opened.append(bus)
            await bus.start()
            return bus

        yield make
        for bus in opened:
            await bus.close()


class Traffic:
    """Publishes numbered messages without end and remembers which were confirmed."""

    def __init__(self, bus: Bus, sender: int) -> None:
        self.bus, self.sender = bus, sender
        self.confirmed: list[str] = []
        self.failures = 0
        self.going = True

    async def run(self) -> None:
        n = 0
        while self.going:
            batch = [ex.trigger(f"{self.sender}.{n + k}") for k in range(3)]
            try:
                await self.bus.publish(batch)
                self.confirmed += [message.id for message in batch]
            except BusUnavailable:
                self.failures += 1
            n += 3


async def under_traffic(buses: Callable[..., Awaitable[RabbitBus]], times: int, fault: Fault, seconds: float) -> None:
    """Two senders with three loops each, two consumers; everything confirmed must come out."""
    got = Collector()
    for _ in range(2):
        await (await buses()).subscribe(port.TRIGGERS, got, batch=20)
    senders = [await buses(publish_timeout_seconds=seconds) for _ in range(2)]
    traffic = [Traffic(senders[n % 2], n) for n in range(6)]
    async with asyncio.TaskGroup() as group:
        for each in traffic:
            group.create_task(each.run())
        for _ in range(times):
            before = len(got.messages), sum(len(each.confirmed) for each in traffic)
            await wait_until(lambda before=before: len(got.messages) > before[0] + 100, timeout=60, what="flow")  # type: ignore[misc]
            await fault()
            await wait_until(
                lambda before=before: sum(len(each.confirmed) for each in traffic) > before[1] + 300,  # type: ignore[misc]
                timeout=60,
                what="confirms after the fault",
            )
        for each in traffic:
            each.going = False
    confirmed = {name for each in traffic for name in each.confirmed}
    await wait_until(lambda: confirmed <= set(got.ids), timeout=60, what="everything confirmed")
    assert len(confirmed) > 300 * times


@pytest.mark.timeout(240)
async def test_a_killed_broker_loses_nothing_confirmed(
    own_rabbit: PrivateRabbit, buses: Callable[..., Awaitable[RabbitBus]]
) -> None:
    async def kill() -> None:
        await asyncio.to_thread(own_rabbit.restart, kill=True)

    await under_traffic(buses, 2, kill, seconds=3)


async def test_cut_connections_lose_nothing_confirmed(
    own_rabbit: PrivateRabbit, buses: Callable[..., Awaitable[RabbitBus]]
) -> None:
    async def cut() -> None:
        await asyncio.to_thread(own_rabbit.close_connections)

    await under_traffic(buses, 5, cut, seconds=10)


async def test_every_kind_of_consumer_resumes_and_a_publish_outlasts_the_cut(
    own_rabbit: PrivateRabbit, buses: Callable[..., Awaitable[RabbitBus]]
) -> None:
    bus = await buses()
    await bus.declare_agent("a1")
    queues = {port.CONTROL: ex.cancel(1), port.BEATS: ex.beat(1), port.agent_queue("a1"): ex.stop(1, "a1")}
    collectors = {queue: Collector() for queue in queues}
    for queue, collector in collectors.items():
        await bus.subscribe(queue, collector)
    await asyncio.to_thread(own_rabbit.close_connections)
    await bus.publish([queues[port.CONTROL]])

    async def all_arrive() -> bool:
        await bus.publish([message for queue, message in queues.items() if not queue.kept])
        return all(collector.ids for collector in collectors.values())

    await wait_until(all_arrive, what="one of each")


async def test_a_publish_outlasts_a_connection_that_heartbeats_find_dead(own_rabbit: PrivateRabbit) -> None:
    with own_rabbit.fresh_vhost() as url:
        bus = RabbitBus(f"{url}?heartbeat=1", name="dead", publish_timeout_seconds=60)
        await bus.start()
        got = Collector()
        await bus.subscribe(port.CONTROL, got)
        own_rabbit.pause()
        try:
            publishing = asyncio.create_task(bus.publish([ex.cancel(1)]))
            await wait_until(lambda: not bus.connected, timeout=20, what="the connection is found dead")
            await asyncio.wait([publishing], timeout=0.2)
            assert not publishing.done()
        finally:
            own_rabbit.resume()
        await publishing
        await wait_until(lambda: "c1" in got.ids)
        await bus.close()


async def test_a_short_memory_stops_publishers_but_not_consumers_nor_hints(
    own_rabbit: PrivateRabbit, buses: Callable[..., Awaitable[RabbitBus]]
) -> None:
    sender, receiver = await buses(publish_timeout_seconds=1), await buses()
    got = Collector()
    await sender.publish([ex.cancel(n) for n in range(10)])
    await asyncio.to_thread(own_rabbit.raise_memory_alarm)
    try:
        with pytest.raises(BusUnavailable, match="not confirmed within 1 s"):
            await sender.publish([ex.cancel(10)])
        await receiver.subscribe(port.CONTROL, got)
        await wait_until(lambda: len(got.ids) == 10)
        async with asyncio.timeout(5):
            for _ in range(100):
                await sender.publish([ex.grew(n) for n in range(500)])
    finally:
        await asyncio.to_thread(own_rabbit.clear_memory_alarm)

    async def confirmed() -> bool:
        try:
            await sender.publish([ex.cancel(11)])
        except BusUnavailable:
            return False
        return True

    await wait_until(confirmed)
    await wait_until(lambda: "c11" in got.ids)


async def test_start_waits_for_a_broker_that_is_away(own_rabbit: PrivateRabbit) -> None:
    own_rabbit.stop()
    bus = RabbitBus(own_rabbit.url, name="early")
    starting = asyncio.create_task(bus.start())
    try:
        await asyncio.wait([starting], timeout=0.5)
        assert not starting.done()
    finally:
        await asyncio.to_thread(own_rabbit.start)
    await asyncio.wait_for(starting, 30)
    await bus.close()


async def test_a_paused_broker_holds_nobody_for_longer_than_asked(
    own_rabbit: PrivateRabbit, buses: Callable[..., Awaitable[RabbitBus]]
) -> None:
    bus = await buses(publish_timeout_seconds=0.5)
    got = Collector()
    await bus.subscribe(port.CONTROL, got)
    own_rabbit.pause()
    try:
        with pytest.raises(BusUnavailable):
            await bus.publish([ex.cancel(1), ex.pend(1)])
        async with asyncio.timeout(2):
            await bus.publish([ex.pend(n) for n in range(20_000)])
    finally:
        own_rabbit.resume()
    await wait_until(lambda: "c1" in got.ids)
