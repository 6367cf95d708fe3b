"""What the simulation once found, told again step by step: each of these worlds went wrong before it was mended."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from services.agent.config import AgentConfig
from services.hub.changes import RunWork
from shared.flows.model import Flow, Node
from shared.runs.events import Assigned, HostLost
from shared.runs.machine import Cause, adopt, step
from shared.runs.program import GraphProgram
from shared.runs.refs import RunNumber, RunRef
from shared.store.port import RunFacts
from tests.faults.sim.agent import ROOT
from tests.faults.sim.checker import check
from tests.faults.sim.faults import Faults
from tests.faults.sim.loop import within
from tests.faults.sim.machine import Behaviour, Machine
from tests.faults.sim.world import LOST_AFTER, World
from tests.runs.flows import T0, flow, task


class Told(World):
    """One hub, dispatcher and api, two hosts with one process each, no chance; subclasses say what happens."""

    flows_here: Sequence[Flow] = ()
    task_slots = 1

    def __init__(self) -> None:
        super().__init__(1)
        self.faults = self.bus.faults = self.trouble.faults = Faults(random.Random(1), active=False)

    def choose_flows(self, draw: random.Random) -> list[Flow]:
        names = {"h1", "d1", "w1"}
        self.slots[:] = [slot for slot in self.slots if slot.name in names]
        self.machines.clear()
        for name in ("a1", "a2"):
            machine = self.machines[name] = Machine(self.loop, self.seed, name, ("linux",), 4)
            machine.trace = self.note
            config = AgentConfig(name, ROOT, machine.tags, 4, task_slots=self.task_slots, grace_seconds=1.0)
            self._slot(name, "agent", lambda c=config, m=machine: self.parts.agent(self.bus, c, m))
        return [replace(each, id=f"f{i}") for i, each in enumerate(self.flows_here)]

    async def until(self, what: str, seconds: float = 30.0) -> None:
        """Wait until that is in the hosts' records."""

        async def there() -> bool:
            return any(doing.key == what for machine in self.machines.values() for doing in machine.record)

        assert await within(seconds, there, every=0.1), f"{what} never started"


def told(world: World) -> None:
    world.run()
    assert check(world) == []


def test_a_hub_that_just_started_knows_which_flows_wait_for_anothers_end() -> None:
    after = Node("after", "after", "trigger", "flow", opts={"flow": "f0", "outcome": ["good", "bad"]})
    first = flow(task("n0", "trigger.good"))

    class Restarted(Told):
        flows_here = (first, replace(first, triggers=(*first.triggers, after)))

        async def story(self) -> None:
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            self.kill(self.slot("h1"), 1.0)

    told(Restarted())


def test_a_database_clock_that_jumps_an_hour_loses_nobody() -> None:
    class Jump(Told):
        flows_here = (flow(task("n0", "trigger.good"), resource_tags=("db",)),)

        async def story(self) -> None:
            await asyncio.sleep(LOST_AFTER + 10)
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            self.clock_offset += timedelta(hours=1)
            await asyncio.sleep(10)
            assert {host.row.state for host in self.database.agents.values()} == {"up"}

    told(Jump())


def test_a_store_that_is_away_while_a_snapshot_is_read_buries_nothing() -> None:
    class Away(Told):
        flows_here = (flow(task("n0", "trigger.good")),)

        async def story(self) -> None:
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            self.kill(self.slot("h1"), 0.1)
            for _ in range(200):
                self.trouble.down_until = self.loop.now + 0.03
                await asyncio.sleep(0.1)

    told(Away())


def lasting(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Every command takes so long."""
    monkeypatch.setattr(Behaviour, "of", classmethod(lambda cls, seed, key, slow: cls(seconds, 0, 1)))


def test_what_an_absent_agent_had_not_started_is_not_started_under_a_tag_that_another_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken before the absence, started after it: by then the run is lost, and its tag another's."""
    lasting(monkeypatch, 15.0)

    class Absent(Told):
        flows_here = (flow(task("n0", "trigger.good"), task("n1", "trigger.good"), resource_tags=("db",)),)

        async def story(self) -> None:
            await asyncio.sleep(2)
            await self.people.wish_for(0, "f0")
            await self.people.wish_for(1, "f0")
            await self.until("h1-1/1")
            first = self.machines["a1"].record or self.machines["a2"].record
            self.kill(self.slot(first[0].host), 3 * LOST_AFTER)
            await self.until("h1-2/1", 3 * LOST_AFTER)
            self.boot(self.slot(first[0].host))

    told(Absent())


def test_a_tag_is_lost_with_the_lease_though_the_agent_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its one process slot is another run's all that time; when it comes free the lease is new, the tag is not."""
    lasting(monkeypatch, 70.0)

    class CutOff(Told):
        flows_here = (
            flow(task("n0", "trigger.good")),
            flow(task("n0", "trigger.good"), resource_tags=("db",)),
        )

        async def story(self) -> None:
            await asyncio.sleep(2)
            for number in range(2):
                await self.people.wish_for(number, "f0")
            await self.until("h1-2/1")
            await self.people.wish_for(2, "f1")
            await asyncio.sleep(2)
            holder = self.slot(self.database.runs[3].state.host or "")
            self.cut(holder, LOST_AFTER + 20)
            await self.people.wish_for(3, "f1")
            await asyncio.sleep(100)

    told(CutOff())


def test_what_could_not_be_noted_as_never_started_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when a stop comes for what waits; after a restart the agent starts it, as its journal says."""
    lasting(monkeypatch, 20.0)

    class Full(Told):
        flows_here = (flow(task("n0", "trigger.good"), task("n1", "trigger.good")),)

        async def story(self) -> None:
            await asyncio.sleep(2)
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            holder = self.database.runs[1].state.host or ""
            await asyncio.sleep(1)
            self.machines[holder].disk_broken_until = self.loop.now + 12
            await self.people.cancel_some(1.0)
            await asyncio.sleep(10)
            self.kill(self.slot(holder), 5.0)
            await asyncio.sleep(30)

    told(Full())


def test_an_end_that_could_not_be_noted_keeps_what_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when a task ends and is settled: its directory alone says that it was started."""
    lasting(monkeypatch, 5.0)

    class Full(Told):
        flows_here = (flow(task("n0", "trigger.good")),)
        task_slots = 4

        async def story(self) -> None:
            await asyncio.sleep(2)
            self.kill(self.slot("a2"), 300.0)
            await asyncio.sleep(30)
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            await asyncio.sleep(1)
            lasting(monkeypatch, 60.0)
            await self.people.wish_for(1, "f0")
            await self.until("h1-2/1")
            self.machines["a1"].disk_broken_until = self.loop.now + 40
            await asyncio.sleep(30)
            self.kill(self.slot("a1"), 15.0)
            await asyncio.sleep(30)

    told(Full())


def test_a_workspace_is_not_shared_with_what_a_lost_run_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim on the workspace comes free when the host is lost: what used it must be gone by then (FLOWS D-05)."""
    lasting(monkeypatch, 150.0)

    class Back(Told):
        flows_here = (flow(task("n0", "trigger.good"), reuse_space=True),)
        task_slots = 4

        async def story(self) -> None:
            self.kill(self.slot("a2"), 300.0)
            await asyncio.sleep(2)
            await self.people.wish_for(0, "f0")
            await self.until("h1-1/1")
            self.cut(self.slot("a1"), LOST_AFTER + 20)
            await self.people.wish_for(1, "f0")
            await self.until("h1-2/1", 250)

    told(Back())


def test_what_ends_in_the_batch_that_began_it_is_not_offered() -> None:
    """An assignment and its host's loss in one batch: the hints of the whole batch were lost with the offer."""
    ref, program = RunRef("h1-1"), GraphProgram(flow(task("n0", "trigger.good")))
    adopted = adopt(ref, Cause("t1", "data", "go"), {}, T0).run
    facts = RunFacts(RunNumber(1), ref, "f", 1, "hash", "t1", "data", (), (), False)
    work = RunWork(facts, program, adopted, adopted.rev)
    for event in (Assigned(T0, "a1", 1), HostLost(T0, "a1")):
        work.absorb(step(program, work.state, event))
    assert "TaskOffered" not in [type(hint).__name__ for hint in work.hints(T0)]
