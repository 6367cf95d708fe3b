"""Random flows for a world: chains, merges, waits and people, with tags that they fight for. No endless cycles."""

import random
from collections.abc import Sequence
from dataclasses import replace

from shared.flows.model import Flow, Node
from tests.runs.flows import merge, task

TAGS = ("db", "rack", "host:port")


def random_flows(draw: random.Random, hosts: Sequence[tuple[str, ...]]) -> list[Flow]:
    """One to three flows; the last may start when another ends."""
    flows = [_flow(draw, f"f{i}", hosts) for i in range(draw.choice([1, 1, 2, 3]))]
    if len(flows) > 1 and draw.random() < 0.5:
        when = Node("after", "after", "trigger", "flow", opts={"flow": "f0", "outcome": ["good", "bad", "cancelled"]})
        flows[-1] = replace(flows[-1], triggers=(*flows[-1].triggers, when))
    if draw.random() < 0.2:
        tick = Node("tick", "tick", "trigger", "timer", opts={"period": draw.choice([7, 15])})
        flows[0] = replace(flows[0], triggers=(*flows[0].triggers, tick))
    return flows


def _flow(draw: random.Random, flow_id: str, hosts: Sequence[tuple[str, ...]]) -> Flow:
    tags = tuple(sorted(draw.sample(TAGS, draw.choice([0, 1, 1, 2]))))
    wanted = draw.choice([(), (), draw.choice(hosts)[:1]])
    return Flow(
        flow_id,
        name=flow_id,
        triggers=(Node("go", "go", "trigger", "data"),),
        tasks=tuple(_nodes(draw)),
        resource_tags=tags,
        host_tags=wanted,
        reuse_space=draw.random() < 0.2,
        timeout_seconds=draw.choice([None, None, None, 60.0]),
    )


def _nodes(draw: random.Random) -> list[Node]:
    nodes = [task("n0", "trigger.good", "exec", **_exec(draw))]
    tags = ["trigger.good", *_tags_of(nodes[0])]
    for i in range(1, draw.choice([1, 1, 2, 3, 5])):
        kind = draw.choice(["exec", "exec", "exec", "exec", "data", "timer", "all", "any", "end"])
        if kind in ("all", "any"):
            good = [tag for tag in tags if tag.endswith("good")]
            node = merge(f"n{i}", *draw.sample(good, min(len(good), draw.choice([1, 2, 2]))), kind=kind)
        else:
            more = _exec(draw) if kind == "exec" else {}
            node = task(f"n{i}", draw.choice([*tags, "trigger.good", "trigger.good"]), kind, **more)
        nodes.append(node)
        tags += _tags_of(node)
    return nodes


def _exec(draw: random.Random) -> dict[str, object]:
    more: dict[str, object] = {"ignore_fail": draw.random() < 0.3}
    if draw.random() < 0.15:
        more["timeout_seconds"] = draw.choice([2.0, 10.0])
    return more


def _tags_of(node: Node) -> list[str]:
    if node.type == "end":
        return []
    kind = "merge" if node.cls == "merge" else "task"
    good = [f"{kind}.{node.id}.good"]
    return [*good, f"task.{node.id}.bad", f"task.{node.id}.error"] if node.type == "exec" else good
