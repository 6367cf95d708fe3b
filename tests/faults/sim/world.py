"""One simulated installation: hubs, dispatchers, apis and agents, one broker, one database, people, and a nemesis.

The services are the shipped ones. A seed decides everything: what there is, what people want, what goes wrong.
"""

import asyncio
import random
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.agent.config import AgentConfig
from services.api.config import ApiConfig
from services.api.desk import Desk
from services.dispatcher.config import DispatcherConfig
from services.dispatcher.service import DispatcherService
from services.hub.config import HubConfig
from services.hub.service import HubService
from shared.errors import Unavailable
from shared.flows.model import Flow
from tests.faults.sim.agent import ROOT, Agent
from tests.faults.sim.bus import Broker
from tests.faults.sim.database import Database
from tests.faults.sim.faults import Faults
from tests.faults.sim.flows import random_flows
from tests.faults.sim.loop import Process, VirtualLoop, bury, within
from tests.faults.sim.machine import Machine
from tests.faults.sim.nemesis import Nemesis
from tests.faults.sim.people import People
from tests.faults.sim.said import said_errors
from tests.faults.sim.store import MemoryStore
from tests.faults.sim.trouble import StoreTrouble

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LOST_AFTER = 40.0
IDLE_IN_TRANSACTION = 10.0
CONVERGES_WITHIN = 1_800.0
RESTART_SECONDS = 2.0


@dataclass(eq=False)
class Slot:
    """A place where one service runs, again and again."""

    name: str
    kind: str
    make: Callable[[], Any]
    process: Process | None = None
    service: Any = None
    away: float = 1.0
    lives: int = 0


@dataclass
class Parts:
    """What a fault that is planted replaces."""

    hub: type[HubService] = HubService
    dispatcher: type[DispatcherService] = DispatcherService
    agent: type[Agent] = Agent
    store: type[MemoryStore] = MemoryStore
    prepare: Callable[["World"], None] = field(default=lambda _: None)


class World:
    """Made from a seed, run once, then judged by `checker`."""

    def __init__(self, seed: int, parts: Parts | None = None, trace: Callable[[str], None] | None = None) -> None:
        self.seed, self.parts, self._trace = seed, parts or Parts(), trace
        draw = self.draw = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock_offset = timedelta()
        self.faults = Faults(random.Random(draw.random()))
        self.faults.draw_rates()
        self.bus = Broker(self.loop, self.faults)
        self.trouble = StoreTrouble(self.loop, self.faults)
        self.database = Database(lambda: BEGAN + timedelta(seconds=self.loop.now) + self.clock_offset)
        self.store = self.parts.store(self.database, self.trouble)
        self.slots: list[Slot] = []
        self.machines: dict[str, Machine] = {}
        self.graves: list[Process] = []
        self.errors: list[str] = []
        self.converged = False
        self.left: list[str] = []
        self.about_leases = draw.random() < 0.25
        """Such worlds have long tasks under few tags, and hosts that are away for longer than their lease."""
        self._build(draw)
        self.flows: list[Flow] = self.choose_flows(draw)
        self.people = People(self, random.Random(draw.random()))
        self.nemesis = Nemesis(self, random.Random(draw.random()))
        self.parts.prepare(self)
        if trace is not None:
            self.bus.trace = self.note

    def note(self, text: str) -> None:
        """One line of the story."""
        if self._trace is not None:
            self._trace(f"{self.loop.now:9.3f} {text}")

    def slots_of(self, kind: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.kind == kind]

    def choose_flows(self, draw: random.Random) -> list[Flow]:
        """What may run here."""
        found = random_flows(draw, [each.tags for each in self.machines.values()])
        if self.about_leases:
            found = [replace(flow, resource_tags=("db",), timeout_seconds=None) for flow in found]
        return found

    def slot(self, name: str) -> Slot:
        """The one of that name."""
        return next(slot for slot in self.slots if slot.name == name)

    # --- what there is ------------------------------------------------------------------------------------------------

    def _build(self, draw: random.Random) -> None:
        parts, bus, store = self.parts, self.bus, self.store
        monotonic = self.loop.time
        for name in ("h1", "h2")[: draw.choice([1, 1, 2])]:
            config = HubConfig(name, resend_seconds=3.0, sweep_seconds=3.0, batch=draw.choice([2, 200]))
            self._slot(name, "hub", lambda config=config: parts.hub(bus, store, config))
        for name in ("d1", "d2")[: draw.choice([1, 1, 2])]:
            placing = DispatcherConfig(name, LOST_AFTER, 5.0, 2.0, 4.0)
            self._slot(name, "dispatcher", lambda config=placing: parts.dispatcher(bus, store, config, monotonic))
        for name in ("w1", "w2")[: draw.choice([1, 2])]:
            self._slot(name, "api", lambda: Desk(ApiConfig("t" * 16), store, bus))
        for name in ("a1", "a2", "a3")[: draw.choice([2, 3] if self.about_leases else [1, 2, 2, 3])]:
            self._machine(draw, name)

    def _machine(self, draw: random.Random, name: str) -> None:
        tags = ("linux",) if self.about_leases else tuple(draw.sample(["linux", "big", "gpu"], draw.choice([1, 2])))
        machine = self.machines[name] = Machine(self.loop, self.seed, name, tags, draw.choice([1, 2, 4]))
        machine.trace = self.note
        machine.slow = self.about_leases
        config = AgentConfig(
            name, ROOT, tags, machine.slots, task_slots=draw.choice([1, 4]), grace_seconds=1.0, drain_seconds=5.0
        )
        self._slot(name, "agent", lambda: self.parts.agent(self.bus, config, machine))

    def _slot(self, name: str, kind: str, make: Callable[[], Any]) -> None:
        self.slots.append(Slot(name, kind, make))

    # --- lives and deaths ---------------------------------------------------------------------------------------------

    def boot(self, slot: Slot) -> None:
        """A new life, unless it lives."""
        if slot.process is not None and not slot.process.dead:
            return
        slot.lives += 1
        process = slot.process = Process(f"{slot.name}.{slot.lives}", slot.kind)
        process.on_death = lambda _: self.kill(slot, slot.away)
        slot.service = None
        self.note(f"{process.name} starts")
        process.spawn(self.loop, self._start(slot, process))

    async def _start(self, slot: Slot, process: Process) -> None:
        try:
            service = slot.make()
            await service.start()
            slot.service = service
        except Unavailable as error:
            self.note(f"{process.name} could not start: {error}")
            self.loop.call_soon(self.kill, slot, RESTART_SECONDS, context=self._outside)

    def kill(self, slot: Slot, away: float) -> None:
        """kill -9. Its connections are noticed to be gone a little later; it is started again after `away` seconds."""
        process = slot.process
        if process is None or process.dead:
            return
        self.note(f"{process.name} dies")
        process.dead = True
        self.graves.append(process)
        draw = self.faults.random
        self.after(draw.choice([0.0, 0.0, 1.0]) * draw.random(), lambda: self.database.break_off(process))
        self.after(draw.choice([0.0, 0.5, 3.0]) * draw.random(), lambda: self._forget(process))
        self.after(away, lambda: self.boot(slot))

    def _forget(self, process: Process) -> None:
        self.bus.connection_lost(process, for_ever=True)

    def stop(self, slot: Slot, away: float) -> None:
        """SIGTERM; after ten seconds kill -9."""
        process, service = slot.process, slot.service
        if process is None or process.dead or service is None:
            return
        self.note(f"{process.name} is asked to stop")

        async def end() -> None:
            await service.stop()
            self.loop.call_soon(self._kill_that, slot, process, away, context=self._outside)

        process.spawn(self.loop, end())
        self.after(10.0, lambda: self._kill_that(slot, process, away))

    def _kill_that(self, slot: Slot, process: Process, away: float) -> None:
        if slot.process is process:
            self.kill(slot, away)

    def pause(self, slot: Slot, seconds: float) -> None:
        """SIGSTOP, then CONT. The database gives up a transaction that idles for long, the broker a silent consumer."""
        process = slot.process
        if process is None or process.dead or process.paused:
            return
        self.note(f"{process.name} is paused for {seconds:g} s")
        process.paused = True
        self.after(seconds, lambda: process.resume(self.loop))
        self._lose_touch(process, seconds)

    def cut(self, slot: Slot, seconds: float) -> None:
        """Nothing from it goes through, nothing reaches it."""
        process = slot.process
        if process is None or process.dead:
            return
        self.note(f"{process.name} is cut off for {seconds:g} s")
        process.cut_until = self.loop.now + seconds
        self._lose_touch(process, seconds)

    def _lose_touch(self, process: Process, seconds: float) -> None:
        if seconds > IDLE_IN_TRANSACTION:
            self.after(IDLE_IN_TRANSACTION, lambda: self.database.break_off(process))
            self.after(IDLE_IN_TRANSACTION, lambda: self.bus.connection_lost(process, for_ever=False))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have it done then, by nobody's process."""
        self.loop.call_later(seconds, do, context=self._outside)

    # --- its story ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """From the beginning to rest."""
        try:
            with said_errors(self.errors):
                self.loop.run(self._live())
        except RuntimeError as error:
            self.errors.append(str(error))
        finally:
            self._bury()

    async def _live(self) -> None:
        self._outside = copy_context()
        for flow in self.flows:
            self.store._put_flow(flow, "api", ())
        for slot in self.slots:
            self.boot(slot)
        answering = asyncio.create_task(self.people.answer_for_ever())
        await self.story()
        self._calm()
        self.converged = await within(CONVERGES_WITHIN, self._at_rest, every=2.0)
        answering.cancel()

    async def story(self) -> None:
        """What people want, and what befalls them meanwhile."""
        seconds = 150.0 if self.about_leases else self.draw.choice([10.0, 30.0, 60.0, 90.0, 120.0])
        async with asyncio.TaskGroup() as everybody:
            everybody.create_task(self.nemesis.rage(seconds))
            for number in range(self.draw.choice([1, 2, 4, 8])):
                everybody.create_task(self._wish(number, self.draw.random() * seconds))
            for _ in range(self.draw.choice([0, 0, 1, 3])):
                everybody.create_task(self._cancel(self.draw.random() * seconds))

    async def _wish(self, number: int, after: float) -> None:
        await asyncio.sleep(after)
        flow = self.draw.choice([*self.flows, None]) if self.draw.random() < 0.3 else self.draw.choice(self.flows)
        await self.people.wish_for(number, flow.id if flow is not None else None)

    async def _cancel(self, after: float) -> None:
        await asyncio.sleep(after)
        await self.people.cancel_some(0.3)

    def _calm(self) -> None:
        """The last fault is over: everything that is down comes back, and flows that start by themselves end."""
        self.note("calm")
        self.faults.calm()
        self.bus.down_until = self.trouble.down_until = 0.0
        for machine in self.machines.values():
            machine.disk_broken_until = 0.0
        for slot in self.slots:
            self.boot(slot)
            if slot.process is not None:
                slot.process.cut_until = 0.0
                slot.process.dies_at = -1
                slot.process.resume(self.loop)
        for flow in self.flows:
            kept = tuple(node for node in flow.triggers if node.type != "timer")
            if kept != flow.triggers:
                self.store._put_flow(replace(flow, triggers=kept), "api", ())

    async def _at_rest(self) -> bool:
        self.left = [*self._unrest()]
        return not self.left

    def _unrest(self) -> list[str]:
        found = [f"{slot.name} is not up" for slot in self.slots if slot.process is None or slot.process.dead]
        found += [
            f"run {run.facts.ref} is {run.state.phase}, {run.state.out} out"
            for run in self.database.runs.values()
            if run.state.phase != "archive" or run.state.out
        ]
        found += [
            f"trigger {row.id} is in the inbox" for row in self.database.triggers.values() if row.state == "inbox"
        ]
        for name, machine in self.machines.items():
            found += [f"{name} runs {key}" for key in machine.live]
        for slot in self.slots_of("agent"):
            work = slot.service._work if slot.service is not None else None
            found += [
                f"{slot.name} has not settled {key}" for key in (work.activations if work is not None else ("?",))
            ]
        return found + self.bus.unsettled

    def _bury(self) -> None:
        """Unwind whatever is still suspended, so that nothing is left to the garbage collector."""
        for process in [*self.graves, *(slot.process for slot in self.slots if slot.process is not None)]:
            for task in process.tasks:
                if not task.done():
                    bury(task)
        self.errors += self.loop.problems
        self.loop.close()
