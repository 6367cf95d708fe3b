"""The mixed flows of the load, and what must come of each."""

import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_TASK = Path(__file__).with_name("task.py")
Act = Literal["", "answer", "cancel"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A flow: its nodes as YAML with `RUN(lines, pause, status)` for commands, and what must come of a run of it.

    `act`: what a person does to each run. `weight`: how often it is started.
    """

    nodes: str
    commands: tuple[str, ...]
    outcome: str = "good"
    tags: tuple[str, ...] = ()
    act: Act = ""
    weight: int = 3


FLOWS: Mapping[str, Kind] = {
    "quick": Kind("{id: a, listen: trigger.good, RUN(20, 0, 0)}\n{id: z, listen: task.a.good, type: end}", ("a",)),
    "chain": Kind(
        "{id: a, listen: trigger.good, RUN(5, 0, 0)}\n{id: b, listen: task.a.good, RUN(5, 0, 0)}\n"
        "{id: c, listen: task.b.good, RUN(5, 0, 0)}",
        ("a", "b", "c"),
    ),
    "fan": Kind(
        "{id: a, listen: trigger.good, RUN(5, 0.01, 0)}\n{id: b, listen: trigger.good, RUN(5, 0.05, 0)}\n"
        "{id: c, listen: trigger.good, RUN(5, 0, 0)}\n"
        "{id: m, class: merge, wait: [task.a.good, task.b.good, task.c.good]}\n"
        "{id: z, listen: merge.m.good, type: end}",
        ("a", "b", "c"),
    ),
    "slow": Kind("{id: a, listen: trigger.good, RUN(150, 0.02, 0)}", ("a",), weight=2),
    "long": Kind("{id: a, listen: trigger.good, RUN(300, 0.02, 0)}", ("a",), weight=1),
    "wide": Kind("{id: a, listen: trigger.good, RUN(40000, 0, 0)}", ("a",), weight=1),
    "timed": Kind(
        "{id: t, listen: trigger.good, type: timer, opts: {period: 1}}\n{id: a, listen: task.t.good, RUN(5, 0, 0)}",
        ("a",),
        weight=2,
    ),
    "bad": Kind("{id: a, listen: trigger.good, RUN(5, 0, 3)}", ("a",), outcome="bad", weight=1),
    "locked": Kind(
        "{id: a, listen: trigger.good, RUN(10, 0.02, 0)}\n{id: b, listen: task.a.good, RUN(10, 0.02, 0)}",
        ("a", "b"),
        tags=("lock-a",),
        weight=2,
    ),
    "locked2": Kind("{id: a, listen: trigger.good, RUN(20, 0.03, 0)}", ("a",), tags=("lock-a", "lock-b"), weight=1),
    "asked": Kind(
        "{id: q, listen: trigger.good, type: data, opts: {form: {fields: [{id: n, required: true}]}}}\n"
        "{id: a, listen: task.q.good, RUN(5, 0, 0)}",
        ("a",),
        act="answer",
        weight=2,
    ),
    "stopped": Kind(
        "{id: a, listen: trigger.good, RUN(60000, 0.01, 0)}", ("a",), outcome="cancelled", act="cancel", weight=2
    ),
    "stopped-locked": Kind(
        "{id: a, listen: trigger.good, RUN(60000, 0.01, 0)}",
        ("a",),
        outcome="cancelled",
        tags=("lock-b",),
        act="cancel",
        weight=1,
    ),
}


def definition(name: str, directory: Path) -> str:
    """The flow as YAML; its tasks leave their evidence in `directory`."""
    kind = FLOWS[name]
    nodes = []
    for line in kind.nodes.splitlines():
        before, run, rest = line.partition("RUN(")
        if run:
            args, _, after = rest.partition(")")
            words = [*args.replace(" ", "").split(","), ",".join(kind.tags)]
            command = {"cmd": sys.executable, "args": ["-I", "-S", str(_TASK), str(directory), *filter(None, words)]}
            line = f"{before}type: exec, opts: {json.dumps(command)}{after}"
        nodes.append(f"  - {line}")
    tags = f"resource-tags: {json.dumps(kind.tags)}\n" if kind.tags else ""
    return f"id: {name}\n{tags}triggers: [{{id: go, type: data}}]\ntasks:\n" + "\n".join(nodes) + "\n"


def pick(rng: random.Random) -> str:
    """One of them, by weight."""
    return rng.choices(list(FLOWS), [kind.weight for kind in FLOWS.values()])[0]
