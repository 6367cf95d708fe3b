"""Random small flows, and a random world around one run: what hosts, people, clocks and a lossy bus may do to it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from shared.flows.model import Flow, Node
from shared.runs.draft import Stepped
from shared.runs.effects import Effect, Emit, EndRun, FreeClaims, SetTimer, StartTask, StopTask
from shared.runs.events import (
    Assigned,
    Cancel,
    DataSubmitted,
    HostLost,
    Input,
    RunEvent,
    TaskAccepted,
    TaskFinished,
    TaskStarted,
    TimerFired,
)
from shared.runs.machine import Cause, adopt, step
from shared.runs.program import GraphProgram
from shared.runs.refs import RunRef
from shared.runs.state import RunState

T0 = datetime(2026, 1, 1, tzinfo=UTC)
FORM = {"title": "sign-off", "fields": [{"id": "good", "type": "bool", "required": True}]}


def task(node_id: str, listen: str, kind: str = "exec", **more: Any) -> Node:
    opts = {"exec": {"cmd": "true"}, "data": {"form": FORM}, "timer": {"period": 5}}.get(kind, {})
    return Node(node_id, node_id, "task", kind, listen=listen, opts=more.pop("opts", opts), **more)


def merge(node_id: str, *wait: str, kind: str = "all") -> Node:
    return Node(node_id, node_id, "merge", kind, wait=wait)


def flow(*tasks: Node, **more: Any) -> Flow:
    return Flow("f", name="f", triggers=(Node("go", "go", "trigger", "data"),), tasks=tasks, **more)


@st.composite
def flows(draw: st.DrawFn, size: int = 6) -> Flow:
    """A flow whose nodes listen to what earlier nodes emit, now and then to what a later one does (a cycle)."""
    count = draw(st.integers(1, size))
    kinds = [
        draw(st.sampled_from(["exec", "exec", "exec", "data", "timer", "all", "any", "end"])) for _ in range(count)
    ]
    tags = ["trigger.good"]
    for i, kind in enumerate(kinds):
        if kind in ("all", "any"):
            tags.append(f"merge.n{i}.good")
        elif kind != "end":
            tags += [f"task.n{i}.good", f"task.n{i}.bad"] + [f"task.n{i}.error", f"task.n{i}.3"] * (kind == "exec")
    nodes = []
    for i, kind in enumerate(kinds):
        mine = [t for t in tags if t == "trigger.good" or int(t.split(".")[1][1:]) < i] or tags
        sources = st.sampled_from(mine if draw(st.integers(0, 5)) else tags)
        if kind in ("all", "any"):
            wait = draw(st.lists(sources, min_size=1, max_size=3, unique=True))
            nodes.append(merge(f"n{i}", *wait, kind=kind))
        else:
            more = {"ignore_fail": draw(st.booleans()), "use_status": draw(st.booleans())} if kind == "exec" else {}
            if kind == "exec" and not draw(st.integers(0, 4)):
                more["timeout_seconds"] = 60.0
            nodes.append(task(f"n{i}", draw(sources), kind, **more))
    return flow(*nodes, timeout_seconds=draw(st.sampled_from([None, None, 300.0])))


@dataclass
class World:
    """One run and everything that was ever done to it. `step` can be replaced, to plant a fault."""

    flow: Flow
    step: Any = step
    at: datetime = T0
    inputs: list[Input] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    steps: list[tuple[RunState, Input, Stepped]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.program = GraphProgram(self.flow)
        adopted = adopt(RunRef("h1-1"), Cause("t1", "data", "go"), {"who": "me"}, self.at)
        self.adopted = adopted.run
        self.run = adopted.run
        self.effects.extend(adopted.effects)

    def feed(self, event: Input) -> Stepped:
        before = self.run
        stepped: Stepped = self.step(self.program, before, event)
        self.run = stepped.run
        self.inputs.append(event)
        self.effects.extend(stepped.effects)
        self.steps.append((before, event, stepped))
        return stepped

    @property
    def events(self) -> list[RunEvent]:
        return [effect.event for effect in self.effects if isinstance(effect, Emit)]

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def possible(self) -> list[Input]:
        """What may sensibly come next, given what the run asked for."""
        at = self.at
        found: list[Input] = []
        if self.run.phase == "pending":
            found.append(Assigned(at, "h", 1))
        for a in self.run.open.values():
            if a.process == "out":
                epoch = self.run.epoch
                found += [
                    TaskAccepted(at, a.n, epoch),
                    TaskStarted(at, a.n, epoch),
                    TaskFinished(at, a.n, epoch, status=0),
                    TaskFinished(at, a.n, epoch, status=3, opts={"why": "three"}),
                    TaskFinished(at, a.n, epoch, error="cannot"),
                ]
            elif a.phase == "waiting" and a.type == "data":
                found += [DataSubmitted(at, a.node, {"good": good}, a.n) for good in (True, False)]
        found += [TimerFired(max(at, t.due_at), t.n, t.kind) for t in self.of(SetTimer)]
        return found

    def tick(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@st.composite
def worlds(draw: st.DrawFn, steps: int = 25, machine: Any = step) -> World:
    """A run driven by a random, doubled, reordered and lossy sequence of inputs."""
    world = World(draw(flows()), machine)
    past: list[Input] = []
    for _ in range(draw(st.integers(1, steps))):
        world.tick(1)
        possible = world.possible()
        choice = draw(st.integers(0, 19))
        if choice == 0:
            event: Input = draw(
                st.sampled_from([Cancel(world.at), HostLost(world.at, "h"), HostLost(world.at, "h", True)])
            )
        elif choice <= 4 and past:
            event = draw(st.sampled_from(past))
        elif possible:
            event = draw(st.sampled_from(possible))
        else:
            break
        past.append(event)
        world.feed(event)
    return world


def finish(world: World, limit: int = 400) -> None:
    """Answer everything that is asked, well, until the run is over and its processes are gone."""
    for _ in range(limit):
        world.tick(10)
        wanted = [e for e in world.possible() if not isinstance(e, TaskAccepted | TaskStarted)]
        live = [e for e in wanted if not isinstance(e, TimerFired) or e.n in world.run.open or e.n == 0]
        if not live or (world.run.phase == "archive" and not world.run.out):
            return
        world.feed(live[0])


__all__ = [
    "Emit",
    "EndRun",
    "FreeClaims",
    "StartTask",
    "StopTask",
    "World",
    "finish",
    "flow",
    "flows",
    "merge",
    "task",
    "worlds",
]
