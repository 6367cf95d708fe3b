"""People in a world: they start runs, cancel some, answer questions; each through the api's own use cases.

What they were told is evidence: a request that was answered is a promise, one that was not may or may not have counted.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.api import acts, intake, starts
from services.api.auth import Principal
from services.api.desk import Desk
from services.api.intake import Order
from shared.errors import FloeError
from shared.runs.refs import RunRef
from shared.store.port import RunFilter

if TYPE_CHECKING:
    from tests.faults.sim.world import World

WHO = Principal("ann", "admin", "admin")
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Wish:
    """A run that somebody wants: trigger ids under which it was asked for, and which of them were promised."""

    token: str
    flow: str | None
    asked: set[str] = field(default_factory=set)
    promised: set[str] = field(default_factory=set)


async def start_run(desk: Desk, wish: Wish, key: str | None) -> None:
    """As `POST /flows/{id}/runs` and `/triggers/data` do."""
    order = Order(wish.flow, {"token": wish.token}, broadcast=wish.flow is None)
    await intake.check(desk, order)
    trigger_id, repeated = intake.new_trigger_id(), False
    if key is not None:
        trigger_id, repeated = await intake.id_for_key(desk, key, order, WHO)
    wish.asked.add(trigger_id)
    await starts._start(desk, intake.received(order, trigger_id, WHO), repeated)
    wish.promised.add(trigger_id)


class People:
    """Everybody in one world."""

    def __init__(self, world: "World", draw: random.Random) -> None:
        self._world, self._draw = world, draw
        self.wishes: list[Wish] = []
        self.cancelled: set[str] = set()

    async def wish_for(self, number: int, flow: str | None) -> None:
        """Ask for a run, again when there was no answer; with a key that is the same request, else another."""
        wish = Wish(f"T{number}", flow)
        self.wishes.append(wish)
        key = f"key{number}" if self._draw.random() < 0.7 else None
        for _ in range(self._draw.choice([1, 3, 8])):
            if await self.ask(lambda desk: start_run(desk, wish, key)) and self._draw.random() < 0.8:
                return
            await asyncio.sleep(self._draw.random() * 3)

    async def answer_for_ever(self) -> None:
        """Whoever is asked for data gives it, sometimes twice; some runs are cancelled."""
        while True:
            await asyncio.sleep(4.0)
            await self.ask(self._look_around)

    async def _look_around(self, desk: Desk) -> None:
        for row in await desk.store.runs(RunFilter(phase="active"), 50):
            run = await desk.store.run(row.ref)
            for activation in run.activations if run else ():
                if activation.type == "data" and activation.phase == "waiting":
                    values = {"good": self._draw.random() < 0.7}
                    await acts.submit_data(desk, row.ref, activation.node, values, WHO)

    async def cancel_some(self, chance: float) -> None:
        """Somebody has second thoughts."""

        async def cancel(desk: Desk) -> None:
            for phase in ("active", "pending"):
                for row in await desk.store.runs(RunFilter(phase=phase), 20):
                    if self._draw.random() < chance:
                        self.cancelled.add(row.ref)
                        await acts.cancel_run(desk, RunRef(row.ref), WHO)

        await self.ask(cancel)

    async def ask(self, what: Callable[[Desk], Awaitable[None]]) -> bool:
        """Have an api do it. False: no answer, or a refusal; then nothing is known about it."""
        slot = self._draw.choice(self._world.slots_of("api"))
        process = slot.process
        if process is None or process.dead or slot.service is None:
            return False
        desk = slot.service

        async def call() -> bool:
            try:
                await what(desk)
            except FloeError as error:
                self._world.note(f"{process.name}: {type(error).__name__}: {error}")
                return False
            return True

        task = process.spawn(self._world.loop, call())
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        return task.done() and not task.cancelled() and task.result()
