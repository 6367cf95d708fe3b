"""An agent in this process, on a root of its own, with a stand-in for the rest of the cluster."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.agent.service import AgentConfig, AgentService
from services.agent.spawner import tree
from shared.bus.memory import MemoryBus
from tests.services.agent.hub import HOST, Hub
from tests.waiting import wait_until

Make = Callable[..., AgentService]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    bus = MemoryBus(publish_timeout_seconds=5)
    hub = Hub(bus)
    await hub.start()
    yield hub
    await hub.stop()
    await bus.close()


@pytest.fixture
async def make_agent(hub: Hub, tmp_path: Path) -> AsyncIterator[Make]:
    """Agents that are stopped after the test; nothing of them may be left in the process table."""
    made: list[AgentService] = []

    def make(**changes: Any) -> AgentService:
        known: dict[str, Any] = {"grace_seconds": 2.0, "beat_seconds": 0.5, "resend_seconds": 1.0}
        config = AgentConfig(**{"host": HOST, "root": tmp_path / "root", **known, **changes})
        made.append(AgentService(hub.bus, config))
        return made[-1]

    yield make
    for agent in made:
        end_everything(agent)
        await agent.stop()
    await wait_until(lambda: not left_over(tmp_path), 10, "no process of this test is left")


@pytest.fixture
async def agent(make_agent: Make) -> AgentService:
    agent = make_agent()
    await agent.start()
    return agent


def end_everything(agent: AgentService) -> None:
    """What a test left running is of no use to anybody."""
    if agent._work is not None:
        for activation in agent._work.live():
            agent._work.floor.end(activation, 0.0)


def left_over(path: Path) -> list[int]:
    """Processes whose command line, directory or environment names the test's own directory."""
    return [pid for pid in tree.table() if pid != os.getpid() and _mentions(pid, bytes(path))]


def _mentions(pid: int, text: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as command, open(f"/proc/{pid}/environ", "rb") as environ:
            return text in command.read() or text in environ.read()
    except OSError:
        return False
