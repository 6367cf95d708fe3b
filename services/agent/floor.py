"""Where processes are: hands activations to the spawner and hears how they end, whatever dies in between."""

import asyncio
from pathlib import Path
from typing import Any, Protocol

import structlog

from services.agent import tasks
from services.agent.activation import Activation
from services.agent.config import AgentConfig
from services.agent.journal import JournalUnwritable
from services.agent.lease import Lease
from services.agent.output import OutputStream
from services.agent.owned import Owned
from services.agent.presence import boot_id
from services.agent.process import SpawnerError, SpawnerLink
from services.agent.reports import Reporter
from services.agent.spawner import tree
from services.agent.taking import end_of, file_size, make_directories, was_started
from services.agent.tasks.plan import TaskEnd, TaskError, TaskPlace
from services.agent.workspace import Workspaces

log = structlog.get_logger()

SUPERVISOR_DIED = "the supervisor died"
HOST_RESTARTED = "the host was restarted"
LEASE_OVER = "stopped: this host had lost touch with the cluster, and the run holds resources"


class Upstairs(Protocol):
    """What the floor needs of `work.Work`."""

    activations: dict[str, Activation]
    reporter: Reporter
    output: OutputStream

    def live(self) -> list[Activation]: ...
    def enqueue(self, activation: Activation) -> None: ...
    def fill(self) -> None: ...
    def hand_over(self, activation: Activation, to: str) -> None: ...
    def end_unstarted(self, activation: Activation, error: str | None = None) -> None: ...
    def ended(
        self,
        activation: Activation,
        layout: tuple[int, int, int, int],
        trailer: bytes,
        *,
        at: float | None = None,
        **what: Any,
    ) -> None: ...


class Floor:
    """At most `task_slots` processes at a time."""

    def __init__(self, config: AgentConfig, installation: str, workspaces: Workspaces, work: Upstairs) -> None:
        self._config, self._installation, self._workspaces, self._work = config, installation, workspaces, work
        self._link = SpawnerLink(config.root, self._on_message, self._on_lost)
        self._owned = Owned("agent tasks")
        self._boot = boot_id()
        self._lease = Lease(config.root / "lease", self._boot)
        self._attaching = asyncio.Lock()
        self._cache = config.root / "cache"
        self.running: set[str] = set()

    @property
    def has_room(self) -> bool:
        """Another one can be started now."""
        return self._link.attached and len(self.running) < self._config.task_slots

    @property
    def trusts_offers(self) -> bool:
        """Offers of runs that hold resource tags count now."""
        return self._lease.trusts_offers

    @property
    def spawner_pid(self) -> int:
        """For those who watch it."""
        return self._link.pid

    async def attach(self) -> None:
        """Find out what became of every live activation. Raises SpawnerError."""
        async with self._attaching:
            await self._attach()

    async def _attach(self) -> None:
        self._cache.mkdir(mode=0o700, exist_ok=True)
        hands = {key: (at, head) for key, at, head in await self._link.attach()}
        if self._lease.until_ms is not None:
            self._link.lease(self._lease.until_ms)
        unknown = [activation for activation in self._work.live() if activation.key not in hands]
        doubtful = [a for a in unknown if self._may_have_started(a) and end_of(a.directory) is None]
        if doubtful:
            await asyncio.to_thread(tree.kill_marked, [self._marker(activation) for activation in doubtful])
        self.running = {activation.key for activation in self._work.live() if activation.key in hands}
        for activation in self._work.live():
            if activation.key in hands:
                started_at, head = hands[activation.key]
                activation.log.grew(head)
                self._resume(activation, started_at)
            else:
                self._settle_unknown(activation)
        self._work.fill()

    async def stop(self) -> None:
        """Detach. A spawner with nothing left to do ends at once; that is waited for."""
        await self._owned.stop()
        self._link.close()
        if not self.running:
            await self._link.wait_gone()

    def lease(self, until_ms: int) -> None:
        """The spawner is bound to end exclusive tasks then, also when nobody tells it anything more. What waits since
        before an interruption of the lease is given up."""
        if self._lease.over:
            for activation in self._work.live():
                if not activation.handed and activation.exclusive:
                    self._cannot(activation, LEASE_OVER)
        self._lease.renew(until_ms)
        self._link.lease(until_ms)

    def launch(self, activation: Activation) -> None:
        """Make its workspace ready, plan it, hand it over."""
        assert activation.offer is not None
        if self._lease.over and activation.exclusive:
            self._cannot(activation, LEASE_OVER)
            return
        self.running.add(activation.key)
        activation.phase = "starting"
        try:
            workspace = self._workspaces.ready(activation.offer)
        except OSError as error:
            self._cannot(activation, f"cannot make the workspace: {error}")
            return
        if workspace is None:
            self._owned.spawn(self._empty_and_start(activation))
        else:
            self._start(activation, workspace)

    def end(self, activation: Activation, grace_seconds: float) -> None:
        """Terminate every process of it, kill after the grace."""
        self._link.stop(activation.key, grace_seconds)

    async def _empty_and_start(self, activation: Activation) -> None:
        assert activation.offer is not None
        try:
            workspace = await self._workspaces.prepare(activation.offer)
        except OSError as error:
            self._cannot(activation, f"cannot empty the workspace: {error}")
        else:
            self._start(activation, workspace)

    def _start(self, activation: Activation, workspace: Path) -> None:
        offer = activation.offer
        if not activation.live or offer is None:
            self.running.discard(activation.key)
            self._work.fill()
            return
        place = TaskPlace(workspace, activation.directory / "scratch", self._cache)
        try:
            make_directories(str(activation.directory))
            plan = tasks.plan(offer, place, self._config.task)
            self._work.hand_over(activation, self._link.identity)
        except (TaskError, OSError, JournalUnwritable) as error:
            self._cannot(activation, str(error))
            return
        except Exception as error:  # a mistake of ours in one task type must not hold up the others
            log.exception("agent.plan_failed", key=activation.key)
            self._cannot(activation, f"internal error: {type(error).__name__}")
            return
        self._link.start(
            {
                "key": activation.key,
                "argv": list(plan.argv),
                "env": dict(plan.env),
                "cwd": str(plan.cwd),
                "dir": str(activation.directory),
                "preamble": plan.preamble.decode("latin-1"),
                "cap": self._config.log_cap_bytes,
                "grace": self._config.grace_seconds,
                "exclusive": offer.exclusive,
                "marker": self._marker(activation),
                "note": {"own": plan.own_program},
            }
        )

    def _cannot(self, activation: Activation, why: str) -> None:
        self.running.discard(activation.key)
        if activation.live:
            self._work.end_unstarted(activation, why)

    def _marker(self, activation: Activation) -> str:
        return f"{self._installation}:{activation.key};"

    # --- what the spawner says ----------------------------------------------------------------------------------

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["is"] == "grew":
            for key, head in message["heads"]:
                if activation := self._work.activations.get(key):
                    activation.log.grew(head)
                    self._work.output.grew(activation)
            return
        activation = self._work.activations.get(message["key"])
        if activation is None or not activation.live:
            return
        match message["is"]:
            case "started":
                self._resume(activation, message["at"])
            case "ended":
                self._ended(activation, message["end"])
            case "refused":
                self._refused(activation, message["why"])

    def _resume(self, activation: Activation, started_at: float | None) -> None:
        activation.handed, activation.phase = True, "starting"
        if started_at is not None:
            activation.started(started_at)
            self._work.reporter.tell(activation, hold=True)

    def _ended(self, activation: Activation, end: dict[str, Any]) -> None:
        assert activation.offer is not None
        self.running.discard(activation.key)
        place = TaskPlace(self._workspaces.path(activation.offer), activation.directory / "scratch", self._cache)
        own = bool((end.get("note") or {}).get("own"))
        try:
            found = tasks.end(activation.offer, place, own, end["status"])
        except Exception as error:  # as above
            log.exception("agent.end_failed", key=activation.key)
            found = TaskEnd(end["status"], f"internal error: {type(error).__name__}")
        head, tail, ring, lost = end["layout"]
        self._work.ended(
            activation,
            (head, tail, ring, lost),
            found.trailer,
            at=end["stopped_at"],
            status=found.status,
            error=LEASE_OVER if end["why"] == "lease" else found.error,
            opts=found.opts,
            elapsed_seconds=end["elapsed"],
        )

    def _refused(self, activation: Activation, why: str) -> None:
        if (end := end_of(activation.directory)) is not None:
            self._ended(activation, end)
        elif was_started(activation.directory):
            self._lost(activation, SUPERVISOR_DIED)
        else:
            self._cannot(activation, why)

    def _settle_unknown(self, activation: Activation) -> None:
        """No spawner has it in hand: it has ended, or it was never started, or nobody knows."""
        if (end := end_of(activation.directory)) is not None:
            self._ended(activation, end)
        elif self._may_have_started(activation):
            self._lost(activation, SUPERVISOR_DIED)
        elif activation.boot not in ("", self._boot):
            self._lost(activation, HOST_RESTARTED)
        elif activation.phase == "starting" and not activation.handed:
            self.running.add(activation.key)
        elif activation.phase != "queued":
            self._work.enqueue(activation)

    def _may_have_started(self, activation: Activation) -> bool:
        """Its log says so, or it was handed to a spawner that is gone: the task may have removed its log."""
        return was_started(activation.directory) or activation.handed_to not in ("", self._link.identity)

    def _lost(self, activation: Activation, why: str) -> None:
        """It was started and nobody saw its end: what it wrote so far is its log."""
        self.running.discard(activation.key)
        size = min(file_size(activation.directory / "log"), self._config.log_cap_bytes)
        self._work.ended(activation, (size, 0, 0, 0), f"{why}\n".encode(), error=why)

    def _on_lost(self) -> None:
        log.warning("spawner.lost", pid=self._link.pid, running=len(self.running))
        self._owned.spawn(self._attach_again())

    async def _attach_again(self) -> None:
        while not self._link.attached:
            try:
                await self.attach()
            except (SpawnerError, OSError) as error:
                log.error("spawner.not_attached", error=str(error))
                await asyncio.sleep(1.0)
