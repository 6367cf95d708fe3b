"""What a step costs in CPU time, and what it writes, in a chain of 20 tasks and in one of 2,000 (ARCHITECTURE §4).

Run: `python -m bench.step_cost`. Prints the medians of several rounds, taken in turn, and their ratio.
"""

import time
from datetime import UTC, datetime
from statistics import median

import msgspec

from shared.flows.model import Flow, Node
from shared.runs.effects import Emit
from shared.runs.events import Assigned, TaskFinished
from shared.runs.machine import Cause, adopt, step
from shared.runs.program import GraphProgram
from shared.runs.refs import RunRef

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 9


def chain(length: int) -> Flow:
    """trigger -> t0 -> t1 -> …"""
    tags = ["trigger.good", *(f"task.t{i}.good" for i in range(length - 1))]
    tasks = tuple(Node(f"t{i}", "", "task", "exec", listen=tag, opts={"cmd": "true"}) for i, tag in enumerate(tags))
    return Flow("chain", triggers=(Node("go", "", "trigger", "data"),), tasks=tasks)


def drive(program: GraphProgram, length: int) -> tuple[float, float]:
    """Seconds and bytes written per step, over the whole chain."""
    run = adopt(RunRef("h-1"), Cause("t", "data", "go"), {}, AT).run
    run = step(program, run, Assigned(AT, "h", 1)).run
    seconds, written = 0.0, 0
    for n in range(1, length + 1):
        started = time.thread_time()
        stepped = step(program, run, TaskFinished(AT, n, 1, status=0))
        seconds += time.thread_time() - started
        run = stepped.run
        events = [effect.event for effect in stepped.effects if isinstance(effect, Emit)]
        written += len(msgspec.json.encode([stepped.touched, events, run.rev, run.seq]))
    assert run.phase == "archive"
    return seconds / length, written / length


def main() -> None:
    """Measure in turn, print medians and ratios."""
    programs = {length: GraphProgram(chain(length)) for length in (20, 2000)}
    costs: dict[int, list[float]] = {length: [] for length in programs}
    sizes: dict[int, float] = {}
    for _ in range(ROUNDS):
        for length, program in programs.items():
            rounds = [drive(program, length) for _ in range(2000 // length)]
            costs[length].append(median(cost for cost, _ in rounds))
            sizes[length] = rounds[0][1]
    for length in programs:
        per_step = median(costs[length]) * 1e6
        print(f"chain of {length:>5}: {per_step:6.1f} us a step, {sizes[length]:6.0f} bytes a step")
    print(f"ratio: {median(costs[2000]) / median(costs[20]):.2f} in time, {sizes[2000] / sizes[20]:.2f} in bytes")


if __name__ == "__main__":
    main()
