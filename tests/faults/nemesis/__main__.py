"""`python -m tests.faults.nemesis --minutes N [--faults X1,X5] [--seed S] [--cycles C]`; exit 1 on a violation."""

import argparse
import random
import sys
import time

from tests.faults.nemesis import disks
from tests.faults.nemesis.cycles import Nemesis, Plan
from tests.faults.nemesis.kinds import FAULTS
from tests.faults.nemesis.world import on_signals


def main() -> int:
    """Run cycles until the time is over, print the table and the last line."""
    parser = argparse.ArgumentParser(prog="nemesis", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="begin no cycle after so long")
    parser.add_argument("--faults", default="", help="only these, by number: X1,X5")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--cycles", type=int, default=1_000_000, help="at most so many")
    parser.add_argument("--rate", type=float, default=4.0, help="runs started per second while faults last")
    args = parser.parse_args()
    disks.enter()
    codes = [code for code in args.faults.replace(" ", "").split(",") if code] or list(FAULTS)
    unknown = [code for code in codes if code not in FAULTS]
    if unknown:
        parser.error(f"there is no fault {', '.join(unknown)}: {', '.join(FAULTS)}")
    plan = Plan(args.seed, tuple(codes), args.rate)
    nemesis = Nemesis(plan)
    on_signals(nemesis.stop)
    try:
        nemesis.run(time.monotonic() + args.minutes * 60, args.cycles)
    finally:
        nemesis.close()
    nemesis.report()
    return 1 if nemesis.violations else 0


if __name__ == "__main__":
    sys.exit(main())
