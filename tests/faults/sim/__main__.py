"""`make simulate`: many worlds, and what they showed. SEEDS=N worlds from START on; SEED=S one, with its story told;
FAULT=name with that fault planted, until it is found.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context

from tests.faults.sim.checker import Violation, check
from tests.faults.sim.planted import FAULTS, planted
from tests.faults.sim.world import World

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one seed."""

    seed: int
    faults: Counter[str]
    violations: list[Violation]
    story: str


def see(seed: int, fault: str | None = None, *, tell: bool = False) -> Seen:
    """Run one world and judge it."""
    with planted(fault) as parts:
        world = World(seed, parts, trace=print if tell else None)
        world.run()
    kinds = Counter(slot.kind for slot in world.slots)
    had = ", ".join(f"{many} {kind}" for kind, many in kinds.items())
    size = f"{len(world.database.runs)} runs, {world.loop.turns} turns"
    story = f"{had}; {size}; {' '.join(sorted(world.nemesis.weapons))}"
    return Seen(seed, world.faults.counts, check(world), story)


def see_all(seeds: range, fault: str | None) -> Iterator[Seen]:
    """In any order, on all processors."""
    with get_context("fork").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(_see, ((seed, fault) for seed in seeds), chunksize=10)


def _see(what: tuple[int, str | None]) -> Seen:
    return see(*what)


def main() -> int:
    """Prints as it goes; the last line counts. 1 when something was violated (with FAULT: when nothing was)."""
    fault = os.environ.get("FAULT") or None
    if fault is not None and fault not in FAULTS:
        print(f"FAULT is one of {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    if only := os.environ.get("SEED"):
        found = [see(int(only), fault, tell=True)]
    else:
        start = int(os.environ.get("START") or 0)
        found = _many(range(start, start + int(os.environ.get("SEEDS") or 2000)), fault)
    faults, violations = sum((each.faults for each in found), Counter()), sum(len(each.violations) for each in found)
    if only:
        _show(found[0], fault)
    print("faults: " + ", ".join(f"{kind} {many}" for kind, many in faults.most_common()))
    print(f"{len(found)} worlds, {faults.total()} faults, {violations} violations")
    return int((violations == 0) if fault is not None and not only else violations > 0)


def _many(seeds: range, fault: str | None) -> list[Seen]:
    found: list[Seen] = []
    bad, began = 0, time.monotonic()
    for seen in see_all(seeds, fault):
        found.append(seen)
        if seen.violations:
            bad += 1
            if bad <= SHOWN:
                _show(seen, fault)
            if fault is not None:
                break
    seconds = time.monotonic() - began
    print(f"{len(found) / seconds:.0f} worlds/s on {os.cpu_count()} processors, {bad} of them bad")
    return found


def _show(seen: Seen, fault: str | None) -> None:
    """A short reproduction."""
    again = f"make simulate SEED={seen.seed}" + (f" FAULT={fault}" if fault else "")
    print(f"seed {seen.seed}: {seen.story}")
    for violation in seen.violations[:5]:
        print(f"  {violation.rule}: {violation.text}")
    print(f"  again, with every message: {again}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
