"""The activations of this host: taken, queued, handed to the spawner, ended, told, settled, forgotten."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import structlog

from services.agent import taking
from services.agent.activation import Activation, key_of
from services.agent.config import AgentConfig
from services.agent.floor import Floor
from services.agent.journal import Journal, JournalUnwritable
from services.agent.output import OutputStream
from services.agent.presence import boot_id
from services.agent.records import Accepted, AnyRecord, Done, Finished, Handed, Stored
from services.agent.reports import Reporter
from services.agent.workspace import Workspaces
from shared.bus.messages import FinishedReport, OutputSettled, ReportSettled, StopRequested, TaskOffered
from shared.bus.port import Bus

log = structlog.get_logger()


class Work:
    """Everything is in `activations` from its journal entry until it is settled. Runs in one event loop."""

    def __init__(self, bus: Bus, config: AgentConfig, installation: str) -> None:
        self._config, self._boot = config, boot_id()
        self.activations: dict[str, Activation] = {}
        self._live: dict[str, Activation] = {}
        self._queue: deque[Activation] = deque()
        self.garbage: list[Path] = []
        self._unwritten: deque[tuple[list[AnyRecord], Callable[[], None] | None]] = deque()
        self._leaving: set[str] = set()
        self._idle, self._settled = asyncio.Event(), asyncio.Event()
        self._journal = Journal(config.root / "journal")
        self.reporter = Reporter(bus, self.activations.values, config.resend_seconds)
        self.output = OutputStream(bus, self.activations.values, config.resend_seconds)
        self.workspaces = Workspaces(config.workspaces or config.root, config.keep_workspaces, self.busy_runs)
        self.floor = Floor(config, installation, self.workspaces, self)

    # --- start and stop -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the journal and the spawner have. Raises SpawnerError."""
        (self._config.root / "tasks").mkdir(mode=0o700, exist_ok=True)
        for entry in self._journal.live.values():
            self._add(taking.restored(self._config.root, self._config.host, entry))
        self.reporter.start()
        self.output.start()
        await self.floor.attach()
        for activation in self.activations.values():
            self.reporter.tell(activation)
            self.output.grew(activation)

    async def stop(self) -> None:
        """Send what is in hand and detach; tasks go on under the spawner."""
        await self.floor.stop()
        await self.output.stop()
        await self.reporter.stop()
        self._journal.close()

    def live(self) -> list[Activation]:
        """Those that have processes, or will have."""
        return list(self._live.values())

    async def wait_idle(self) -> None:
        """Return when nothing runs or waits."""
        while self._live:
            self._idle.clear()
            await self._idle.wait()

    async def wait_settled(self) -> None:
        """Return when the hub has everything."""
        while self.activations:
            self._settled.clear()
            await self._settled.wait()

    def end_all(self) -> None:
        """Stop what runs, and give up what never began."""
        for activation in self.live():
            if activation.handed:
                self.floor.end(activation, self._config.grace_seconds)
            else:
                self.end_unstarted(activation, "the agent was stopped before it could start")

    def busy_runs(self) -> set[str]:
        """Runs with a live activation here."""
        return {activation.offer.run for activation in self._live.values() if activation.offer}

    async def prune(self) -> None:
        """Look for old workspaces; remove old journal segments, and directories that no entry speaks of."""
        await self.workspaces.look()
        self._journal.prune()
        known = {activation.directory.name for activation in self.activations.values()}
        coming = {path.name for path in self.garbage}
        for path in (self._config.root / "tasks").iterdir():
            if path.name not in known and path.name not in coming:
                self.garbage.append(path)

    # --- what the hub says --------------------------------------------------------------------------------------

    def offered(self, offers: Sequence[TaskOffered]) -> None:
        """Take what is new: one fsync for all of it, before anything starts. What is known is answered again."""
        fresh = {key_of(offer.run, offer.n): offer for offer in offers if not self._answer_known(offer)}
        if not fresh:
            return
        now = time()
        try:
            self._journal.append((Accepted(key, now, self._boot, o) for key, o in fresh.items()), sync=True)
        except JournalUnwritable as error:
            log.error("agent.offers_dropped", count=len(fresh), error=str(error))
            return
        for key, offer in fresh.items():
            directory = taking.directory_of(self._config.root, offer.run, offer.n)
            activation = Activation(key, self._config.host, offer, directory)
            self._add(activation)
            activation.accepted()
            self.enqueue(activation)
            self.reporter.tell(activation, hold=True)
        self.fill()

    def stop_requested(self, request: StopRequested) -> None:
        """End it, or see to it that it never starts. Known ends are told again."""
        key = key_of(request.run, request.n)
        activation = self.activations.get(key)
        if activation is None:
            self._stop_unknown(key, request)
        elif not activation.live:
            self.reporter.answer(activation)
        elif activation.handed:
            self.floor.end(activation, self._config.grace_seconds)
        else:
            self.end_unstarted(activation)

    def reports_settled(self, message: ReportSettled) -> None:
        """The hub has these."""
        found = [(kind, self.activations.get(key_of(run, n))) for kind, run, n in message.reports]
        for kind, activation in found:
            if activation:
                activation.settled.add(kind)
        self._forget(activation for _, activation in found if activation)

    def output_settled(self, message: OutputSettled) -> None:
        """The hub has these logs so far."""
        moved: list[Activation] = []
        for run, n, offset in message.offsets:
            activation = self.activations.get(key_of(run, n))
            if activation and offset > activation.stored:
                self.output.stored(activation, offset)
                moved.append(activation)
        self._note([Stored(a.key, a.stored) for a in moved if not a.over])
        self._forget(moved)

    # --- what the floor says ------------------------------------------------------------------------------------

    def enqueue(self, activation: Activation) -> None:
        """It waits for one of the `task_slots`."""
        activation.phase, activation.handed = "queued", False
        self._queue.append(activation)

    def fill(self) -> None:
        """Start what waits, as far as there is room."""
        while self._queue and self.floor.has_room:
            activation = self._queue.popleft()
            if activation.phase == "queued":
                self.floor.launch(activation)

    def hand_over(self, activation: Activation, to: str) -> None:
        """Note to which spawner it goes. The system has it then, which is enough: a restart of the machine is known by
        `boot`. Raises JournalUnwritable."""
        self._journal.append([Handed(activation.key, to)])
        activation.handed, activation.handed_to = True, to

    def end_unstarted(self, activation: Activation, error: str | None = None) -> None:
        """It never ran; `error` says why when nobody asked for that."""
        trailer = f"{error}\n".encode(errors="replace") if error else b""
        self.ended(activation, (0, 0, 0, 0), trailer, error=error, started=False)

    def ended(
        self,
        activation: Activation,
        layout: tuple[int, int, int, int],
        trailer: bytes,
        *,
        at: float | None = None,
        **what: Any,
    ) -> None:
        """Nothing of it is left: seal its log, note its end, tell the hub. That it never started is told only once it
        is noted: another life of this agent would start it."""
        activation.log.seal(layout, trailer)
        report = activation.finish_with(at, log_length=activation.log.length, **what)
        activation.phase = "ended"
        self._live.pop(activation.key, None)
        tell = partial(self._tell_end, activation, report)
        if report.started:
            tell()
        self._write([Finished(activation.key, report, layout, trailer)], None if report.started else tell)
        self.fill()
        if not self._live:
            self._idle.set()

    # --- own matters --------------------------------------------------------------------------------------------

    def _add(self, activation: Activation) -> None:
        self.activations[activation.key] = activation
        if activation.live:
            self._live[activation.key] = activation

    def _answer_known(self, offer: TaskOffered) -> bool:
        key = key_of(offer.run, offer.n)
        if activation := self.activations.get(key):
            self.reporter.answer(activation)
        elif settled := self._journal.find(key):
            self.reporter.tell_again(settled.report)
        else:
            return False
        return True

    def _stop_unknown(self, key: str, request: StopRequested) -> None:
        if settled := self._journal.find(key):
            self.reporter.tell_again(settled.report)
            return
        report = FinishedReport(
            id=f"{key}/finished",
            at=datetime.now(UTC),
            trace=request.trace,
            run=request.run,
            n=request.n,
            epoch=request.epoch,
            host=self._config.host,
            started=False,
        )
        try:
            self._journal.append([Finished(key, report)], sync=True)
        except JournalUnwritable as error:
            log.error("agent.stop_not_noted", key=key, error=str(error))
            return
        directory = taking.directory_of(self._config.root, request.run, request.n)
        activation = self.activations[key] = Activation(key, self._config.host, None, directory)
        activation.log.seal((0, 0, 0, 0), b"")
        activation.finished(report)
        self.reporter.tell(activation)

    def _tell_end(self, activation: Activation, report: FinishedReport) -> None:
        activation.finished(report)
        self.reporter.tell(activation, first=self.output.last(activation))

    def _forget(self, candidates: Iterable[Activation]) -> None:
        over = {each.key: each for each in candidates if each.over and each.key not in self._leaving}
        if over:
            self._leaving |= over.keys()
            self._write([Done(key) for key in over], partial(self._leave, over))

    def _leave(self, over: Mapping[str, Activation]) -> None:
        """Their ends are noted, so what the spawner kept of them is not needed any more."""
        for key, activation in over.items():
            self._leaving.discard(key)
            if self.activations.pop(key, None) and activation.offer:
                self.garbage.append(activation.directory)
        if not self.activations:
            self._settled.set()

    def _note(self, new: list[AnyRecord]) -> None:
        """Write what would only be done again if it were lost."""
        try:
            if new:
                self._journal.append(new)
        except JournalUnwritable as error:
            log.error("agent.not_noted", error=str(error))

    def _write(self, new: list[AnyRecord], then: Callable[[], None] | None) -> None:
        """Note ends, in order, now or as soon as the disk takes them; `then` follows. One for each activation at most
        waits: while the disk refuses, no offer is taken."""
        self._unwritten.append((new, then))
        self.write_again()
        if self._unwritten:
            log.error("agent.ends_not_noted", waiting=len(self._unwritten))

    def write_again(self) -> None:
        """Note what the disk has refused so far."""
        while self._unwritten:
            new, then = self._unwritten[0]
            try:
                self._journal.append(new)
            except JournalUnwritable:
                return
            self._unwritten.popleft()
            if then is not None:
                then()
