"""One fixture, both adapters: `bus_factory` makes buses that share what they carry."""

import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.bus.memory import MemoryBus
from shared.bus.port import Bus
from shared.bus.rabbitmq import RabbitBus
from tests.servers.choose import AnyRabbit, GivenRabbit

BusFactory = Callable[[], Awaitable[Bus]]


@pytest.fixture(params=["memory", "rabbitmq"])
async def bus_factory(request: pytest.FixtureRequest) -> AsyncIterator[BusFactory]:
    """Makes started buses of one installation: processes on a broker of their own, or one bus for all."""
    opened: list[Bus] = []
    if request.param == "memory":
        only = MemoryBus(hints_per_queue=1_000)

        async def make() -> Bus:
            return only

        opened.append(only)
        yield make
    else:
        url = request.getfixturevalue("fresh_vhost")

        async def make() -> Bus:
            bus = RabbitBus(url, name="test")
            opened.append(bus)
            await bus.start()
            return bus

        yield make
    for bus in opened:
        await bus.close()


@pytest.fixture
async def bus(bus_factory: BusFactory) -> Bus:
    return await bus_factory()


@pytest.fixture
async def rabbit_bus(fresh_vhost: str) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(fresh_vhost, name="test")
    await bus.start()
    yield bus
    await bus.close()


def user_url(url: str, user: str, password: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


Rabbit = AnyRabbit | GivenRabbit
