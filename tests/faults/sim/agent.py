"""The real agent on a simulated host: its service, its work, its reports, output and leases are the shipped code.

Models are what touches the machine: the journal's file (a list that a reboot cuts), the floor (start, stop, re-attach:
the rules of `services.agent.floor`, without directories and plans), logs as byte arrays.
"""

import asyncio
from collections import deque
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from services.agent.activation import Activation
from services.agent.config import AgentConfig
from services.agent.floor import HOST_RESTARTED, LEASE_OVER, SUPERVISOR_DIED, Floor
from services.agent.journal import Journal, JournalUnwritable
from services.agent.lease import Lease
from services.agent.log_file import LogFile
from services.agent.output import OutputStream
from services.agent.owned import Owned
from services.agent.presence import Presence
from services.agent.records import AnyRecord, Done, Finished, Stored
from services.agent.reports import Reporter
from services.agent.service import AgentService
from services.agent.settled import SettledKeys
from services.agent.taking import restored
from services.agent.work import Work
from shared.bus.port import Bus
from tests.faults.sim.machine import Machine

ROOT = Path("/nowhere")


class DiskJournal(Journal):
    """`Journal` on the machine's list of records: a segment that never fills, an offset that is an index."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.live = {}
        self._settled = SettledKeys()
        for offset, record in enumerate(machine.journal):
            self._take(record, 0, offset)
        machine.synced = len(machine.journal)

    def append(self, new: Any, *, sync: bool = False) -> None:
        machine, batch = self._machine, list(new)
        if machine.loop.now < machine.disk_broken_until:
            raise JournalUnwritable("the disk is full")
        for record in batch:
            machine.journal.append(record)
            self._take(record, 0, len(machine.journal) - 1)
        if sync:
            machine.synced = len(machine.journal)

    def _read(self, segment: int, offset: int) -> AnyRecord | None:
        return self._machine.journal[offset]

    def prune(self, now: float | None = None) -> int:
        return 0

    def close(self) -> None:
        self._machine.synced = len(self._machine.journal)


class MachineLog(LogFile):
    """A log that is read from the machine instead of a file."""

    def __init__(self, machine: Machine, key: str, like: LogFile) -> None:
        super().__init__(like._directory)
        self._parts, self.length = like._parts, like.length
        self._machine, self._key = machine, key

    def _from_file(self, name: str, offset: int, size: int) -> bytes:
        return bytes(self._machine.logs.get(self._key, b"")[offset : offset + size])


class MachineLease(Lease):
    """`Lease` whose file is the machine's."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._clock = machine, machine.clock_ms
        self.until_ms = machine.lease_file if machine.lease_file_boot == machine.boot else None
        self._interrupted_ms = None

    def _write(self, until_ms: int) -> None:
        machine = self._machine
        if machine.loop.now >= machine.disk_broken_until:
            machine.lease_file, machine.lease_file_boot = until_ms, machine.boot


class MachineFloor(Floor):
    """`Floor` whose spawner is the machine's."""

    def __init__(self, config: AgentConfig, machine: Machine, work: "MachineWork") -> None:
        self._config, self._machine, self._work = config, machine, work
        self._owned = Owned("agent tasks")
        self._boot = str(machine.boot)
        self._lease = MachineLease(machine)
        self._attaching = asyncio.Lock()
        self._link: Any = SimpleNamespace(
            attached=False, pid=1, lease=machine.lease, close=self._detach, stop=lambda key, grace: machine.stop(key)
        )
        self.running = set()
        self._context = copy_context()

    async def _attach(self) -> None:
        machine = self._machine
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        machine.listener = lambda message: _later(loop, self._context, self._on_message, message)
        machine.on_spawner_lost = lambda: _later(loop, self._context, self._on_spawner_lost)
        self._link.attached = True
        if not machine.live:
            machine.new_spawner()
        if self._lease.until_ms is not None:
            machine.lease(self._lease.until_ms)
        hands = machine.hands()
        self.running = {a.key for a in self._work.live() if a.key in hands}
        for activation in self._work.live():
            if activation.key in hands:
                self._resume(activation, hands[activation.key])
            else:
                self._settle_unknown(activation)
        self._work.fill()

    async def stop(self) -> None:
        await self._owned.stop()
        self._detach()

    def _detach(self) -> None:
        self._machine.listener = self._machine.on_spawner_lost = None
        self._link.attached = False

    def _on_spawner_lost(self) -> None:
        self._link.attached = False
        self._on_lost()

    def launch(self, activation: Activation) -> None:
        if self._lease.over and activation.exclusive:
            self._cannot(activation, LEASE_OVER)
            return
        self.running.add(activation.key)
        activation.phase = "starting"
        self._owned.spawn(self._prepare(activation))

    async def _prepare(self, activation: Activation) -> None:
        """A workspace is made ready, which may take a while."""
        await asyncio.sleep(0.005)
        offer = activation.offer
        if not activation.live or offer is None:
            self.running.discard(activation.key)
            self._work.fill()
            return
        try:
            self._work.hand_over(activation, str(self._machine.spawner))
        except JournalUnwritable as error:
            self._cannot(activation, str(error))
            return
        self._machine.start(offer)

    def _ended(self, activation: Activation, end: Any) -> None:
        found = self._machine.ends[activation.key]
        self.running.discard(activation.key)
        self._work.ended(
            activation,
            (len(self._machine.logs[activation.key]), 0, 0, 0),
            b"",
            status=found.status,
            error=LEASE_OVER if found.why == "lease" else None,
            elapsed_seconds=found.elapsed,
        )

    def _on_message(self, message: dict[str, Any]) -> None:
        super()._on_message({"end": None, **message})

    def _refused(self, activation: Activation, why: str) -> None:
        self._settle_unknown(activation)

    def _settle_unknown(self, activation: Activation) -> None:
        machine = self._machine
        if activation.key in machine.ends:
            self._ended(activation, None)
        elif activation.key in machine.logs or activation.handed_to not in ("", str(machine.spawner)):
            self._lost(activation, SUPERVISOR_DIED)
        elif activation.boot not in ("", self._boot):
            self._lost(activation, HOST_RESTARTED)
        elif activation.phase == "starting" and not activation.handed:
            self.running.add(activation.key)
        elif activation.phase != "queued":
            self._work.enqueue(activation)

    def _lost(self, activation: Activation, why: str) -> None:
        self.running.discard(activation.key)
        size = len(self._machine.logs.get(activation.key, b""))
        self._work.ended(activation, (size, 0, 0, 0), b"", error=why)


def _later(loop: asyncio.AbstractEventLoop, context: Any, call: Any, *args: Any) -> None:
    loop.call_soon(call, *args, context=context)


class MachineWork(Work):
    """`Work` with the machine's journal and floor."""

    def __init__(self, bus: Bus, config: AgentConfig, machine: Machine) -> None:
        self._config, self._boot, self._machine = config, str(machine.boot), machine
        self.activations, self._live = {}, {}
        self._queue, self.garbage = deque(), []
        self._unwritten, self._leaving = deque(), set()
        self._idle, self._settled = asyncio.Event(), asyncio.Event()
        self._journal = DiskJournal(machine)
        self.reporter = Reporter(bus, self.activations.values, config.resend_seconds)
        self.output = OutputStream(bus, self.activations.values, config.resend_seconds)
        self.floor = MachineFloor(config, machine, self)

    async def start(self) -> None:
        for entry in self._journal.live.values():
            self._add(restored(ROOT, self._config.host, entry))
        self.reporter.start()
        self.output.start()
        await self.floor.attach()
        for activation in self.activations.values():
            self.reporter.tell(activation)
            self.output.grew(activation)

    def _add(self, activation: Activation) -> None:
        activation.log = MachineLog(self._machine, activation.key, activation.log)
        super()._add(activation)


class Agent(AgentService):
    """`AgentService` on a machine."""

    work_type: type[MachineWork] = MachineWork

    def __init__(self, bus: Bus, config: AgentConfig, machine: Machine) -> None:
        super().__init__(bus, config, machine.clock_ms)
        self._machine = machine

    async def start(self) -> None:
        machine = self._machine
        work = self._work = self.work_type(self._bus, self._config, machine)
        self._lock = SimpleNamespace(release=lambda: None)  # type: ignore[assignment]
        self._presence = Presence(
            self._bus,
            self._config,
            machine.host,
            load=self._load,
            keeps=lambda: (),
            on_lease=work.floor.lease,
            clock=machine.clock_ms,
            free=lambda _: 10**12,
        )
        await work.start()
        await self._presence.start()
        self._owned.spawn(self._consume())
        self._owned.spawn(self._clean_for_ever())

    async def _clean_for_ever(self) -> None:
        work = self._work
        assert isinstance(work, MachineWork)
        while True:
            await asyncio.sleep(2.0)
            work.write_again()
            garbage, work.garbage[:] = list(work.garbage), []
            for directory in garbage:
                run, _, n = directory.name.rpartition(".")
                self._machine.remove(f"{run}/{n}")


__all__ = ["Agent", "Done", "Finished", "MachineWork", "Stored"]
