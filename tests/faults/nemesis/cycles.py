"""Cycles: load, faults, healing, waiting, checking; and the figures of all of them."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.faults.nemesis import clocks, disks
from tests.faults.nemesis.check import Checker
from tests.faults.nemesis.evidence import Evidence
from tests.faults.nemesis.kinds import FAULTS
from tests.faults.nemesis.kinds.broker import bury
from tests.faults.nemesis.kinds.fault import Fault
from tests.faults.nemesis.leftovers import leftovers
from tests.faults.nemesis.load import Load
from tests.faults.nemesis.world import World
from tests.waiting import wait_until_blocking

ARCHIVED_WITHIN_SECONDS = 120.0
LEFTOVERS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: cycle k follows from `seed` + k alone."""

    seed: int
    codes: Sequence[str]
    per_second: float = 4.0

    def faults(self, cycle: int, rng: random.Random) -> list[Fault]:
        """One kind in turn, so that each comes, and up to two more."""
        more = rng.choices(self.codes, k=rng.choice((0, 1, 1, 2)))
        return [FAULTS[code] for code in (self.codes[(self.seed + cycle) % len(self.codes)], *more)]


@dataclass
class Figures:
    """What came of the cycles so far."""

    cycles: int = 0
    runs: int = 0
    recoveries: list[float] = field(default_factory=list)
    by_kind: Counter[str] = field(default_factory=Counter)
    worst: dict[str, float] = field(default_factory=dict)
    repeats: int = 0
    dropped: int = 0
    """Triggers that were lost with the queue that an operator deleted."""


class Nemesis:
    """`run`, `close`, `report`."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.figures = plan, Figures()
        self.violations: list[str] = []
        self.world = World()
        self._closed = False
        self.evidence = Evidence(self.world.evidence)
        self.checker = Checker(self.world, self.evidence)

    def stop(self) -> None:
        """Begin no further cycle."""
        self.world.closing.set()

    def run(self, until: float, cycles: int) -> None:
        """Cycles until that monotonic time."""
        say(f"seed {self.plan.seed}; faults {', '.join(self.plan.codes)}")
        self.world.start()
        for cycle in range(cycles):
            if self.world.closing.is_set() or time.monotonic() > until:
                return
            self.cycle(cycle)

    def cycle(self, cycle: int, only: Sequence[Fault] = ()) -> None:
        """One of them; with `only` these faults instead of those that its seed would choose."""
        seed = self.plan.seed + cycle
        rng = random.Random(seed)
        self.world.begin_cycle()
        chosen = only or self.plan.faults(cycle, rng)
        load = Load(self.world.house.client, random.Random(rng.random()), self.plan.per_second)
        load.start()
        said = []
        for fault in chosen:
            self.world.wait(rng.uniform(0.5, 3))
            said.append(f"{fault.code} {self._inject(fault, random.Random(rng.random()))}")
        self.world.heal()
        healed = time.monotonic()
        found = self._recovered(load)
        recovery = time.monotonic() - healed
        found += self._checked(load)
        self._count(chosen, load, recovery)
        now = f"{datetime.now(UTC):%H:%M:%S}"
        what = f"{now} cycle {cycle} (SEED={seed}): {'; '.join(said)}"
        say(f"{what}: {len(load.accepted)} runs, recovery {recovery:.1f} s")
        for what in found:
            say(f"  VIOLATION {what}")
        if found and not self.violations:
            say(f"  what everybody said is in {self.world.keep_logs()}")
        self.violations += found

    def _inject(self, fault: Fault, rng: random.Random) -> str:
        try:
            return fault.inject(self.world, rng)
        except Exception as error:
            self.violations.append(f"{fault.code} could not be done: {type(error).__name__}: {error}")
            say(f"  VIOLATION {self.violations[-1]}")
            return "failed"

    def _recovered(self, load: Load) -> list[str]:
        """I4: everything accepted is archived in time."""
        problems = []
        try:
            self.world.wait_well()
        except AssertionError as error:
            problems.append(f"I4 {error}")
        load.finish()
        promised = {promise.trigger for promise in load.accepted}

        def missing() -> set[str | None]:
            rows = self.world.query("SELECT trigger_id, phase FROM run")
            dropped = load.dropped(self.world.dropped_at, {row["trigger_id"] for row in rows})
            return promised - dropped - {row["trigger_id"] for row in rows if row["phase"] == "archive"}

        try:
            wait_until_blocking(lambda: not missing(), ARCHIVED_WITHIN_SECONDS, "every accepted run is archived")
        except AssertionError:
            late = missing()
            found = [promise for promise in load.accepted if promise.trigger in late]
            problems.append(
                f"I4 {len(found)} not archived {ARCHIVED_WITHIN_SECONDS:.0f} s after the last fault: {found}"
            )
        return problems

    def _checked(self, load: Load) -> list[str]:
        found = leftovers(self.world, LEFTOVERS_SECONDS)
        made = {row["trigger_id"] for row in self.world.query("SELECT trigger_id FROM run")}
        dropped = load.dropped(self.world.dropped_at, made)
        self.figures.dropped += len(dropped)
        found += self.checker.check(load.promises, dropped)
        if self.world.poison_sent:
            found += bury(self.world)
        found += self.world.violations
        found += [f"I1 the api said {what}" for what in load.refused]
        for fell, times in Counter(self.world.house.fell).items():
            say(f"  note: {times} times {fell}")
        self.world.house.fell.clear()
        return found

    def _count(self, chosen: Sequence[Fault], load: Load, recovery: float) -> None:
        figures = self.figures
        figures.cycles += 1
        figures.runs += len(load.accepted)
        figures.repeats += load.repeats
        figures.recoveries.append(recovery)
        for fault in chosen:
            figures.by_kind[fault.code] += 1
            figures.worst[fault.code] = max(recovery, figures.worst.get(fault.code, 0.0))

    def close(self) -> None:
        """End everything. What stays is a violation of I6. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        left = [f"I6 {what}" for what in self.world.close()]
        for what in left:
            say(f"  VIOLATION {what}")
        self.violations += left

    def report(self) -> None:
        """The table, what stays unproven, and the last line."""
        figures = self.figures
        say("\n| fault | what | times | slowest recovery of its cycles |\n|---|---|---|---|")
        for code, fault in FAULTS.items():
            worst = f"{figures.worst[code]:.1f} s" if code in figures.worst else "-"
            say(f"| {code} | {fault.what} | {figures.by_kind[code]} | {worst} |")
        for code, fault in FAULTS.items():
            if fault.unproven:
                say(f"not proven here: {code} {fault.unproven}")
        if not disks.available():
            say("not proven here: disks full and read-only (X9, X10): this machine does not let us mount")
        if not clocks.available():
            say("not proven here: clocks (X11): there is no C compiler")
        say(
            f"starts repeated by clients: {figures.repeats}; activations lost as the faults allow: {self.checker.lost};"
            f" triggers lost with a deleted queue: {figures.dropped}"
        )
        p50, p99 = quantile(figures.recoveries, 0.5), quantile(figures.recoveries, 0.99)
        say(
            f"{figures.cycles} cycles, {figures.runs} runs, {len(self.violations)} violations,"
            f" recovery p50 {p50:.1f} s p99 {p99:.1f} s"
        )


def quantile(values: Sequence[float], q: float) -> float:
    """Of few values the nearest that is not too small."""
    if not values:
        return 0.0
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(q * 100) - 1]


def say(text: str) -> None:
    """At once."""
    print(text, flush=True)
