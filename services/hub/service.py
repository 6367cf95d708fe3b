"""The hub: takes what comes in, lets the engine commit it, answers for it. Any number of hubs may run."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import structlog

from services.hub.clock import Clock
from services.hub.config import HubConfig
from services.hub.engine import Engine
from services.hub.items import Adopt, Advance, Item, Poison
from services.hub.log_writer import LogWriter
from services.hub.prune import Pruner
from services.hub.sweep import Sweep
from shared.bus import messages as m
from shared.bus.codec import dead_letter
from shared.bus.port import CONTROL, HUB_HINTS, LOGS, REPORTS, TRIGGERS, Bus, Handler, Queue, Subscription
from shared.runs.events import Assigned, Cancel, DataSubmitted, Input, TaskAccepted, TaskFinished, TaskStarted
from shared.runs.refs import RunRef
from shared.store.port import HubStore, TriggerRow

log = structlog.get_logger()

EPOCH = datetime.fromtimestamp(0, UTC)
"""Stands in an input until the transaction puts its own time there."""


class HubService:
    """Adopts triggers, advances runs, keeps timers and schedules, stores logs."""

    def __init__(self, bus: Bus, store: HubStore, config: HubConfig) -> None:
        self._bus, self._config = bus, config
        self._engine = Engine(bus, store, config)
        self._clock = Clock(store, self._engine)
        self._sweep = Sweep(store, self._engine, bus, config)
        self._pruner = Pruner(store, config)
        self._logs = LogWriter(bus, store)
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Begin. What an earlier life left behind is found by the sweep."""
        self._engine.start()
        consumers: list[tuple[Queue, Handler]] = [
            (TRIGGERS, self._on_triggers),
            (CONTROL, self._on_control),
            (REPORTS, self._on_reports),
            (HUB_HINTS, self._on_hints),
            (LOGS, self._logs.handle),
        ]
        for queue, handler in consumers:
            self._subscriptions.append(await self._bus.subscribe(queue, handler, batch=self._config.batch))
        for loop in (self._clock, self._sweep, self._pruner):
            loop.start()
        log.info("hub.started", host=self._config.host)

    async def stop(self) -> None:
        """Finish what is in hand. Twice is harmless."""
        for loop in (self._clock, self._sweep, self._pruner):
            await loop.close()
        while self._subscriptions:
            await self._subscriptions.pop().stop()
        await self._engine.close()
        log.info("hub.stopped", host=self._config.host)

    async def _on_triggers(self, batch: Sequence[m.Message]) -> None:
        known = [message for message in batch if isinstance(message, m.TriggerReceived)]
        await self._submit(batch, known, [Adopt(_trigger_row(message)) for message in known])

    async def _on_control(self, batch: Sequence[m.Message]) -> None:
        items: list[Item] = []
        known: list[m.Message] = []
        for message in batch:
            match message:
                case m.CancelRequested(run=run, actor=actor):
                    reason = f"cancelled by {actor}" if actor else "cancelled"
                    items.append(Advance(RunRef(run), (Cancel(EPOCH, reason),)))
                    known.append(message)
                case m.DataProvided(run=run, node=node, values=values, n=n):
                    items.append(Advance(RunRef(run), (DataSubmitted(EPOCH, node, values, n),)))
                    known.append(message)
                case m.HostDeleted():
                    await self._sweep.lost_hosts()
                    known.append(message)
        await self._submit(batch, known, items)

    async def _on_hints(self, batch: Sequence[m.Message]) -> None:
        items: list[Item] = []
        for message in batch:
            match message:
                case m.RunAssigned(run=run, host=host, epoch=epoch):
                    items.append(Advance(RunRef(run), (Assigned(EPOCH, host, epoch),)))
                case m.HostGone():
                    await self._sweep.lost_hosts()
        await self._engine.submit(items)

    async def _on_reports(self, batch: Sequence[m.Message]) -> None:
        reports = [message for message in batch if isinstance(message, m.AgentReport)]
        known = [(report, event) for report in reports if (event := _input_of(report)) is not None]
        by_run: dict[tuple[str, str], list[Input]] = {}
        for report, event in known:
            by_run.setdefault((report.run, report.host), []).append(event)
        items = [Advance(RunRef(run), tuple(events), sender=host) for (run, host), events in by_run.items()]
        await self._submit(batch, [report for report, _ in known], items)
        await self._settle(report for report, _ in known)

    async def _settle(self, reports: Iterable[m.AgentReport]) -> None:
        """The agents may forget these: committed, or never to be taken."""
        by_host: dict[str, list[tuple[str, str, int]]] = {}
        for report in reports:
            by_host.setdefault(report.host, []).append((_KINDS[type(report)], report.run, report.n))
        now = datetime.now(UTC)
        await self._bus.publish(
            [
                m.ReportSettled(id=f"settled/{host}/{found[0][1]}/{found[0][2]}", at=now, host=host, reports=found)
                for host, found in by_host.items()
            ]
        )

    async def _submit(self, batch: Sequence[m.Message], known: Sequence[m.Message], items: Sequence[Item]) -> None:
        """Commit the items. What can never be handled goes to the dead letters with its reason."""
        taken = {id(message) for message in known}
        letters = [
            _dead_letter(message, f"{type(message).__name__} does not belong here")
            for message in batch
            if id(message) not in taken
        ]
        results = await self._engine.submit(items)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Poison):
                log.error("hub.poison", error=str(result))
                letters.append(_dead_letter(item, str(result)))
        if letters:
            await self._bus.publish(letters)


_KINDS: dict[type[m.AgentReport], str] = {
    m.AcceptedReport: "accepted",
    m.StartedReport: "started",
    m.FinishedReport: "finished",
}


def _input_of(report: m.AgentReport) -> Input | None:
    match report:
        case m.AcceptedReport():
            return TaskAccepted(EPOCH, report.n, report.epoch)
        case m.StartedReport():
            return TaskStarted(EPOCH, report.n, report.epoch)
        case m.FinishedReport():
            return TaskFinished(
                EPOCH,
                report.n,
                report.epoch,
                report.status,
                report.error,
                report.opts,
                report.log_length,
                report.started,
                report.elapsed_seconds,
            )
        case _:
            return None


def _trigger_row(message: m.TriggerReceived) -> TriggerRow:
    return TriggerRow(
        id=message.id,
        type=message.trigger_type,
        state="inbox",
        opts=message.opts,
        flow=message.flow,
        ver=message.ver,
        trigger=message.trigger,
        broadcast=message.broadcast,
        actor=message.actor,
        received_at=message.at,
    )


def _dead_letter(what: object, reason: str) -> m.DeadLetter:
    return dead_letter(repr(what).encode(errors="replace"), queue="hub", at=datetime.now(UTC), reason=reason)
