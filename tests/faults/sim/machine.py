"""A simulated host: its disk, its spawner, its processes, and the record of what really happened there.

The record is the independent evidence of RELIABILITY §3: nobody but the checker reads it.
"""

import random
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from services.agent.records import AnyRecord
from shared.bus.messages import TaskOffered
from tests.faults.sim.loop import VirtualLoop

GRACE_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class Doing:
    """One start of one command: what a test task would write down about itself."""

    host: str
    offer: TaskOffered
    started_at: float
    ended_at: float | None = None
    status: int | None = None
    why: str = ""
    text: bytearray = field(default_factory=bytearray)

    @property
    def key(self) -> str:
        return f"{self.offer.run}/{self.offer.n}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a command does: drawn from the seed and the activation, so that a replay does the same."""

    seconds: float
    status: int
    lines: int

    @classmethod
    def of(cls, seed: int, key: str, slow: bool = False) -> "Behaviour":
        draw = random.Random(f"{seed}/{key}")
        usual = [5.0, 45.0, 90.0] if slow else [0.01, 0.1, 1.0, 1.0, 5.0, 20.0, 45.0]
        seconds = draw.choice(usual) * (0.5 + draw.random())
        return cls(seconds, draw.choice([0, 0, 0, 0, 0, 0, 3]), draw.choice([0, 1, 1, 3, 6]))


@dataclass(slots=True)
class End:
    """What a spawner writes when nothing of a task is left."""

    status: int | None
    why: str
    elapsed: float


Message = dict[str, Any]


class Machine:
    """Outlives its agents. `boot` changes with a reboot, which ends all processes and loses what was not synced."""

    def __init__(self, loop: VirtualLoop, seed: int, host: str, tags: tuple[str, ...], slots: int) -> None:
        self.loop, self.seed, self.host, self.tags, self.slots = loop, seed, host, tags, slots
        self.boot = 1
        self.journal: list[AnyRecord] = []
        self.synced = 0
        self.disk_broken_until = 0.0
        self.logs: dict[str, bytearray] = {}
        self.ends: dict[str, End] = {}
        self.record: list[Doing] = []
        self.live: dict[str, Doing] = {}
        self.lease_ms: int | None = None
        self.spawner = 1
        self.lease_file: int | None = None
        self.lease_file_boot = 0
        self.listener: Callable[[Message], None] | None = None
        self.on_spawner_lost: Callable[[], None] | None = None
        self.trace: Callable[[str], None] | None = None
        self.lease_kept = True
        self.slow = False
        """Its commands take long."""
        self._outside: Context = copy_context()

    def clock_ms(self) -> int:
        """The boot clock."""
        return int(self.loop.now * 1000) + 1_000_000

    # --- the spawner, as the agent speaks to it -----------------------------------------------------------------------

    def hands(self) -> dict[str, float | None]:
        return {key: doing.started_at for key, doing in self.live.items()}

    def remove(self, key: str) -> None:
        """Remove what is kept of a task that is settled."""
        self.logs.pop(key, None)
        self.ends.pop(key, None)

    def start(self, offer: TaskOffered) -> None:
        key = f"{offer.run}/{offer.n}"
        if key in self.live:
            return
        if key in self.logs:
            self._tell({"is": "refused", "key": key, "why": "it was started before"})
            return
        self.logs[key] = bytearray()
        doing = Doing(self.host, offer, self.loop.now)
        self.live[key] = doing
        self.record.append(doing)
        self._note(f"starts {key}")
        self._tell({"is": "started", "key": key, "at": self.loop.now})
        plan = Behaviour.of(self.seed, key, self.slow)
        for line in range(plan.lines):
            self._at(plan.seconds * line / plan.lines, lambda line=line: self._print(doing, line))
        self._at(plan.seconds, lambda: self._end(doing, plan.status, ""))
        self._check_lease()

    def stop(self, key: str, why: str = "") -> None:
        doing = self.live.get(key)
        if doing is not None:
            slow = random.Random(f"{self.seed}/{key}/stop").random() * GRACE_SECONDS
            self._at(slow, lambda: self._end(doing, 143, why or "stop"))

    def lease(self, until_ms: int) -> None:
        self.lease_ms = until_ms
        self._at(max(0.0, (until_ms - self.clock_ms()) / 1000) + 0.001, self._check_lease)

    def _check_lease(self) -> None:
        if not self.lease_kept or self.lease_ms is None or self.clock_ms() < self.lease_ms:
            return
        for key, doing in list(self.live.items()):
            if doing.offer.exclusive:
                self.stop(key, "lease")

    # --- what befalls it ----------------------------------------------------------------------------------------------

    def reboot(self) -> None:
        """Power off and on. What the journal had not made safe is gone, torn anywhere."""
        self.kill_spawner("reboot")
        self.boot += 1
        self.lease_ms = None
        draw = random.Random(f"{self.seed}/{self.host}/{self.boot}")
        del self.journal[draw.randint(self.synced, len(self.journal)) :]
        self.synced = len(self.journal)

    def kill_spawner(self, why: str = "spawner") -> None:
        """Its tasks die with it, and their ends are not written."""
        for doing in list(self.live.values()):
            self._over(doing, None, why)
        self.new_spawner()
        if self.on_spawner_lost is not None:
            self.on_spawner_lost()

    def new_spawner(self) -> None:
        """One that knows nothing: the last was killed, or ended because it had nothing to do."""
        self.lease_ms = None
        self.spawner += 1

    # --- inside -------------------------------------------------------------------------------------------------------

    def _print(self, doing: Doing, line: int) -> None:
        if doing.ended_at is None:
            text = f"{doing.key} line {line}\n".encode()
            doing.text += text
            self.logs.setdefault(doing.key, bytearray()).extend(text)
            self._tell({"is": "grew", "heads": [[doing.key, len(doing.text)]]})

    def _end(self, doing: Doing, status: int, why: str) -> None:
        if doing.ended_at is not None:
            return
        self._over(doing, status, why)
        self.ends[doing.key] = End(status, why, self.loop.now - doing.started_at)
        self._tell({"is": "ended", "key": doing.key})

    def _over(self, doing: Doing, status: int | None, why: str) -> None:
        doing.ended_at, doing.status, doing.why = self.loop.now, status, why
        del self.live[doing.key]
        self._note(f"{doing.key} is over: status {status} {why}")

    def _at(self, seconds: float, do: Callable[[], None]) -> None:
        self.loop.call_later(seconds, do, context=self._outside)

    def _tell(self, message: Message) -> None:
        if self.listener is not None:
            self.listener(message)

    def _note(self, text: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.host}: {text}")
