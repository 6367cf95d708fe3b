"""Services start in order and stop in the opposite one, whatever ends them."""

import asyncio
import os
import signal

import pytest

from shared.lifecycle import ServiceFailed, run_services
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


class Recorded:
    def __init__(self, name: str, told: list[str], *, fails: str = "", blocks: str = "") -> None:
        self.name, self.told, self.fails, self.blocks = name, told, fails, blocks
        self.broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self.told.append(f"start {self.name}")
        await self._maybe("start")

    async def stop(self) -> None:
        self.told.append(f"stop {self.name}")
        await self._maybe("stop")

    async def wait_failed(self) -> BaseException:
        return await asyncio.shield(self.broken)

    async def _maybe(self, when: str) -> None:
        if self.blocks == when:
            await asyncio.Event().wait()
        if self.fails == when:
            raise RuntimeError(f"{self.name} cannot {when}")


STARTED = ["start hub", "start agent", "start api"]
STOPPED = ["stop api", "stop agent", "stop hub"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_them_in_the_opposite_order(number: signal.Signals) -> None:
    told: list[str] = []
    before = asyncio.all_tasks()

    async def ready() -> None:
        told.append("ready")
        os.kill(os.getpid(), number)

    await run_services([(n, Recorded(n, told)) for n in ("hub", "agent", "api")], on_ready=ready)
    assert told == [*STARTED, "ready", *STOPPED]
    assert asyncio.all_tasks() == before


async def test_a_failed_service_stops_the_others_and_is_named() -> None:
    told: list[str] = []
    services = [(n, Recorded(n, told)) for n in ("hub", "agent", "api")]
    running = asyncio.create_task(run_services(services))
    await wait_until(lambda: told == STARTED, what="all have started")
    services[1][1].broken.set_result(RuntimeError("the journal is gone"))
    with pytest.raises(ServiceFailed, match="the agent cannot go on: the journal is gone"):
        await running
    assert told[3:] == STOPPED


async def test_a_failed_start_stops_only_what_began() -> None:
    told: list[str] = []
    with pytest.raises(RuntimeError, match="agent cannot start"):
        await run_services(
            [
                ("hub", Recorded("hub", told)),
                ("agent", Recorded("agent", told, fails="start")),
                ("api", Recorded("api", told)),
            ]
        )
    assert told == ["start hub", "start agent", "stop agent", "stop hub"]


async def test_a_signal_gives_up_a_start_that_waits() -> None:
    told: list[str] = []
    running = asyncio.create_task(run_services([("hub", Recorded("hub", told, blocks="start"))]))
    await wait_until(lambda: told, what="the start has begun")
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert told == ["start hub", "stop hub"]


async def test_one_stop_that_hangs_or_fails_does_not_keep_the_others() -> None:
    told: list[str] = []

    async def ready() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    services = [
        ("hub", Recorded("hub", told)),
        ("agent", Recorded("agent", told, fails="stop")),
        ("api", Recorded("api", told, blocks="stop")),
    ]
    await run_services(services, on_ready=ready, stop_seconds=0.05)
    assert told[3:] == STOPPED
