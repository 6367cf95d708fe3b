"""A hub and a dispatcher on the in-process bus and SQLite, with a puppet where the agent would be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.dispatcher.config import DispatcherConfig
from services.dispatcher.service import DispatcherService
from services.hub.config import HubConfig
from services.hub.service import HubService
from shared.bus import messages as m
from shared.bus.port import Bus, agent_queue
from shared.flows.model import Flow
from shared.store.port import RunDetail, RunFilter, RunRow, Store
from tests.waiting import wait_until

Answer = Callable[[m.TaskOffered], dict[str, Any] | None]


@dataclass
class Puppet:
    """An agent without processes: what it answers to an offer is the test's to say; None is silence."""

    bus: Bus
    host: str = "a1"
    tags: Sequence[str] = ()
    answer: Answer = lambda offer: {"status": 0}
    offers: list[m.TaskOffered] = field(default_factory=list)
    stops: list[m.StopRequested] = field(default_factory=list)
    settled: list[tuple[str, str, int]] = field(default_factory=list)

    async def start(self) -> None:
        await self.bus.declare_agent(self.host)
        await self.bus.subscribe(agent_queue(self.host), self.on_hints)
        await self.beat()

    async def beat(self, **more: Any) -> None:
        beat = m.Beat(
            id=f"{self.host}/beat", at=datetime.now(UTC), host=self.host, installation="i", incarnation="j", number=1,
            sent_ms=0, tags=self.tags, **more,
        )  # fmt: skip
        await self.bus.publish([beat])

    async def on_hints(self, batch: Sequence[m.Message]) -> None:
        for message in batch:
            match message:
                case m.TaskOffered():
                    self.offers.append(message)
                    said = self.answer(message)
                    if said is not None:
                        await self.finish(message, **said)
                case m.StopRequested():
                    self.stops.append(message)
                case m.ReportSettled():
                    self.settled += [tuple(each) for each in message.reports]

    async def finish(self, offer: m.TaskOffered, **said: Any) -> None:
        key = f"{offer.run}/{offer.n}"
        report = m.FinishedReport(
            id=f"{key}/finished",
            at=datetime.now(UTC),
            run=offer.run,
            n=offer.n,
            epoch=offer.epoch,
            host=offer.host,
            **said,
        )
        await self.bus.publish([report])


@dataclass
class House:
    """One of everything that decides."""

    store: Store
    bus: Bus
    puppet: Puppet
    hub: HubService
    dispatcher: DispatcherService

    async def put(self, *flows: Flow) -> None:
        for flow in flows:
            await self.store.put_flow(flow, source="test")

    async def trigger(self, trigger_id: str = "t1", flow: str | None = "f", **more: Any) -> None:
        kind = more.pop("trigger_type", "data")
        await self.bus.publish(
            [m.TriggerReceived(id=trigger_id, at=datetime.now(UTC), trigger_type=kind, flow=flow, **more)]
        )

    async def runs(self, **by: Any) -> Sequence[RunRow]:
        return await self.store.runs(RunFilter(**by), 1000)

    async def ended(self, count: int = 1) -> list[RunDetail]:
        """Waits until so many runs are archived; newest first."""

        async def archived() -> bool:
            return len(await self.runs(phase="archive")) >= count

        await wait_until(archived, 10, f"{count} archived runs")
        found = [await self.store.run(row.ref) for row in await self.runs(phase="archive")]
        return [run for run in found if run is not None]


def make_house(store: Store, bus: Bus, **config: Any) -> House:
    """Not started yet."""
    return House(
        store,
        bus,
        Puppet(bus),
        HubService(bus, store, HubConfig("h1", sweep_seconds=0.1, resend_seconds=0.2, **config)),
        DispatcherService(bus, store, DispatcherConfig(sweep_seconds=0.2)),
    )
