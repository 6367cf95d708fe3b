"""What is done to a world on purpose: deaths, pauses, cut lines, lost disks, wrong clocks (RELIABILITY §3)."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.sim.world import Slot, World


class Nemesis:
    """Strikes at random times until it is told to stop. Each world has its own set of weapons."""

    def __init__(self, world: "World", draw: random.Random) -> None:
        self._world, self._draw = world, draw
        everything: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "crash_soon": self._crash_soon,
            "stop": self._stop,
            "pause": self._pause,
            "cut": self._cut,
            "long_cut": self._long_cut,
            "broker_down": self._broker_down,
            "broker_wiped": self._broker_wiped,
            "store_down": self._store_down,
            "clock_step": self._clock_step,
            "reboot": self._reboot,
            "spawner_killed": self._spawner_killed,
            "disk_full": self._disk_full,
            "all_down": self._all_down,
            "long_absence": self._long_absence,
            "hubs_away": self._hubs_away,
            "storm": self._storm,
        }
        absences = ["long_cut", "long_absence", "hubs_away", "storm", "crash", "pause"]
        chosen = absences if world.about_leases else [name for name in everything if draw.random() < 0.5] or ["crash"]
        self.weapons = {name: everything[name] for name in chosen}
        self._every = draw.choice([20.0, 40.0] if world.about_leases else [1.5, 3.0, 6.0, 12.0, 25.0])

    async def rage(self, seconds: float) -> None:
        """Strike again and again for so long."""
        loop = self._world.loop
        until = loop.now + seconds
        while loop.now < until:
            await asyncio.sleep(min(until - loop.now, self._draw.expovariate(1 / self._every)) + 0.001)
            name = self._draw.choice(list(self.weapons))
            self._world.faults.count(name)
            self.weapons[name]()

    def _victim(self, *kinds: str) -> "Slot":
        slots = [slot for slot in self._world.slots if not kinds or slot.kind in kinds]
        return self._draw.choice(slots)

    def _away(self) -> float:
        return self._draw.choice([0.1, 1.0, 5.0, 10.0, 40.0]) * (0.5 + self._draw.random())

    def _crash(self) -> None:
        self._world.kill(self._victim(), self._away())

    def _crash_soon(self) -> None:
        """At any of its next awaits, under way to wherever."""
        slot = self._victim()
        if slot.process is not None and not slot.process.dead:
            slot.process.dies_at = slot.process.steps + self._draw.choice([1, 3, 10, 30, 100, 300])
            slot.away = self._away()

    def _stop(self) -> None:
        self._world.stop(self._victim(), self._away())

    def _pause(self) -> None:
        self._world.pause(self._victim(), self._draw.choice([1.0, 5.0, 15.0, 40.0, 90.0]))

    def _cut(self) -> None:
        self._world.cut(self._victim(), self._draw.choice([1.0, 5.0, 20.0]))

    def _long_cut(self) -> None:
        self._world.cut(self._victim("agent"), self._draw.choice([25.0, 50.0, 90.0]))

    def _broker_down(self) -> None:
        self._world.bus.down_until = self._world.loop.now + self._draw.choice([0.5, 5.0, 20.0])

    def _broker_wiped(self) -> None:
        self._broker_down()
        self._world.bus.wipe()

    def _store_down(self) -> None:
        trouble = self._world.trouble
        trouble.down_until = self._world.loop.now + self._draw.choice([0.5, 5.0, 20.0, 70.0])

    def _clock_step(self) -> None:
        """The database's clock: forward by up to an hour, back by little (what waits for a time waits longer then)."""
        step = self._draw.choice([-20.0, -2.0, 2.0, 30.0, 600.0, 3600.0])
        self._world.clock_offset += timedelta(seconds=step)
        self._world.note(f"the clock steps by {step:g} s")

    def _reboot(self) -> None:
        slot = self._victim("agent")
        self._world.machines[slot.name].reboot()
        self._world.kill(slot, self._away())

    def _spawner_killed(self) -> None:
        self._world.machines[self._victim("agent").name].kill_spawner()

    def _disk_full(self) -> None:
        machine = self._world.machines[self._victim("agent").name]
        machine.disk_broken_until = self._world.loop.now + self._draw.choice([1.0, 10.0, 30.0])

    def _long_absence(self) -> None:
        """For longer than a host's lease."""
        self._world.kill(self._victim("agent", "dispatcher"), self._draw.choice([30.0, 45.0, 60.0, 90.0]))

    def _hubs_away(self) -> None:
        """Nobody decides about runs while hosts come and go."""
        for slot in self._world.slots_of("hub"):
            self._world.kill(slot, self._draw.choice([30.0, 50.0, 70.0]))
        if self._draw.random() < 0.5:
            self._long_cut()

    def _storm(self) -> None:
        """Hosts away while runs pend; hubs away when they come back; hosts lost before the hubs return."""
        agents, draw = self._world.slots_of("agent"), self._draw
        for slot in agents:
            self._world.kill(slot, 10.0 + draw.random())
        for slot in self._world.slots_of("hub"):
            self._world.after(
                9.0 + 2 * draw.random(), lambda slot=slot: self._world.kill(slot, 60 + 20 * draw.random())
            )
        victims = draw.sample(agents, draw.randint(1, len(agents)))
        for slot in victims:
            seconds = 45 + 30 * draw.random()
            self._world.after(12.0 + 5 * draw.random(), lambda slot=slot, s=seconds: self._world.cut(slot, s))

    def _all_down(self) -> None:
        for slot in self._world.slots:
            self._world.kill(slot, self._away())
