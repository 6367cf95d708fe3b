"""What the cluster knows of a host, and what the host may believe (RELIABILITY §1, Epochs and leases)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.agent.presence import lease_margin
from services.agent.service import AgentConfig, AgentService
from shared.bus.memory import MemoryBus
from shared.bus.messages import Message
from shared.bus.port import agent_queue
from tests.services.agent.conftest import Make
from tests.services.agent.hub import HOST, Hub
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_the_first_beat_comes_at_once_and_says_who_it_is(make_agent: Make, hub: Hub) -> None:
    await make_agent(beat_seconds=60.0, tags=("linux", "go"), slots=3, version="1").start()
    await wait_until(lambda: hub.beats, 1, "a beat")
    beat = hub.beats[0]
    assert (beat.tags, beat.slots, beat.version, beat.leaving) == (("linux", "go"), 3, "1", False)
    assert beat.installation
    assert beat.disk_free_bytes


async def test_the_installation_stays_and_the_incarnation_changes(make_agent: Make, hub: Hub) -> None:
    first = make_agent()
    await first.start()
    await first.stop()
    await make_agent().start()
    await wait_until(lambda: len({beat.incarnation for beat in hub.beats}) == 2, what="beats of both")
    assert len({beat.installation for beat in hub.beats}) == 1


async def test_a_refused_agent_takes_nothing(make_agent: Make, hub: Hub) -> None:
    agent = make_agent(beat_seconds=0.05)
    await agent.start()
    hub.refused = "another installation beats under this name"
    await wait_until(lambda: agent._presence and agent._presence.refused, what="the refusal")
    await hub.offer("h-1")
    hub.refused = ""
    await wait_until(lambda: agent._presence and not agent._presence.refused, what="the permission")
    await hub.offer("h-2")
    await hub.ended("h-2")
    assert hub.kinds("h-1") == []


async def test_exclusive_tasks_end_before_the_hosts_lease_does(make_agent: Make, hub: Hub) -> None:
    hub.lost_after = 2.0
    agent = make_agent(beat_seconds=0.1, grace_seconds=0.2)
    await agent.start()
    await wait_until(lambda: agent._presence and agent._presence.lease_ms, what="a lease")
    await hub.offer("h-1", sh="echo up; sleep 1000", exclusive=True)
    await hub.offer("h-2", sh="echo up; sleep 1000")
    await hub.prints(b"up\n", "h-1")
    await hub.prints(b"up\n", "h-2")
    hub.answers = False
    end = await hub.ended("h-1", seconds=5)
    assert end.error is not None
    assert "lost touch" in end.error
    assert hub.finished("h-2") is None


async def test_the_spawner_keeps_to_the_lease_when_no_agent_is_there(
    make_agent: Make, hub: Hub, tmp_path: Path
) -> None:
    hub.lost_after = 2.0
    agent = make_agent(beat_seconds=0.1, grace_seconds=0.2)
    await agent.start()
    await wait_until(lambda: agent._presence and agent._presence.lease_ms, what="a lease")
    await hub.offer("h-1", sh="echo up; sleep 1000", exclusive=True)
    await hub.prints(b"up\n", "h-1")
    await agent.stop()
    await wait_until((tmp_path / "root/tasks/h-1.1/end").exists, 5, "the end on disk")


async def test_an_exclusive_offer_needs_a_lease(make_agent: Make, hub: Hub) -> None:
    hub.answers = False
    agent = make_agent(beat_seconds=0.05)
    await agent.start()
    await hub.offer("h-1", exclusive=True)
    await hub.offer("h-2")
    await hub.ended("h-2")
    assert hub.kinds("h-1") == []
    hub.answers = True
    await wait_until(lambda: agent._presence and agent._presence.lease_ms, what="a lease")
    await hub.offer("h-1", exclusive=True)
    await hub.ended("h-1")


async def test_below_the_disk_floor_nothing_is_taken(make_agent: Make, hub: Hub) -> None:
    await make_agent(disk_floor_bytes=1 << 60).start()
    await hub.offer("h-1")
    await wait_until(lambda: len(hub.beats) > 1, what="a second beat")
    assert hub.beats[0].slots == 0
    assert hub.kinds("h-1") == []


async def test_a_name_that_is_taken_is_waited_for(make_agent: Make, hub: Hub) -> None:
    async def nothing(_: Sequence[Message]) -> None:
        return

    other = await hub.bus.subscribe(agent_queue(HOST), nothing)
    agent = make_agent()
    starting = asyncio.create_task(agent.start())
    await wait_until(lambda: hub.beats, what="a beat although it cannot consume")
    await other.stop()
    await starting
    await wait_until(lambda: agent._subscription, what="the queue")


class HungBus(MemoryBus):
    """A broker that takes the connection and nothing else."""

    async def publish(self, messages: Sequence[Message]) -> None:
        await asyncio.Event().wait()


async def test_a_bus_that_hangs_does_not_hang_the_agent(tmp_path: Path) -> None:
    agent = AgentService(HungBus(), AgentConfig(HOST, tmp_path / "root", beat_seconds=0.1))
    async with asyncio.timeout(10):
        await agent.start()
        await agent.stop()


@pytest.mark.parametrize(("lost_after", "margin"), [(300.0, 30.0), (60.0, 30.0), (40.0, 20.0), (2.0, 1.0)])
def test_the_margin(lost_after: float, margin: float) -> None:
    assert lease_margin(lost_after) == margin
