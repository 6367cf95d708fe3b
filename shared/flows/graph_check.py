"""What is wrong with a flow's graph (FLOWS §7, N-10). Everything found is a problem: the flow is accepted and shown."""

from collections.abc import Iterator

from shared.flows.model import TRIGGER_GOOD, Flow, Node
from shared.flows.problems import Level, Problem
from shared.flows.shape import ROOT, Shape, circles, fires, reached, shape_of, tags_of, way_around
from shared.flows.tags import SYSTEM, emits, emitter_id, good_tags, why_never

SHOWN_WAY = 8
MOST_WRONG_TAGS = 50
MOST_GUESSING = 5_000
"""Nodes to look among, in all of a document, for those that wrong tags meant: some 100 µs each."""


def graph_problems(flow: Flow, found: int = 0) -> list[Problem]:
    """Every problem of the graph, in no particular order; none of them is fatal. `found`: how many the document has
    already; the more, the fewer wrong tags come with the one that was meant.

    Tags of the system are left out: a node that listens to one makes the flow fatal when it is read (FLOWS E-03).
    """
    shape = shape_of(flow)
    rings = circles(shape)
    wrong_tags = list(_tags(flow, shape, found))
    said = {problem.node for problem in wrong_tags}
    return [
        *_ends(flow, shape),
        *_repeats(flow),
        *wrong_tags,
        *_unreached(flow, shape, said),
        *_merges(flow, shape, rings, said),
        *_rings(flow, shape, rings),
    ]


def _problem(flow: Flow, node: Node | None, message: str, hint: str | None = None, level: Level = "problem") -> Problem:
    line = (node.line if node else flow.line) or None
    return Problem(level, message, line, node.id if node else None, hint, flow=flow.id)


def _ends(flow: Flow, shape: Shape) -> Iterator[Problem]:
    if not flow.triggers:
        yield _problem(flow, None, "has no triggers: it can only serve as another flow's `flow-file`", level="note")
    if flow.tasks and not shape.followers[ROOT]:
        yield _problem(flow, None, f"nothing listens to `{TRIGGER_GOOD}`: its runs would end at once")
    elif not flow.tasks and not flow.flow_file:
        yield _problem(flow, None, "has no tasks: its runs would end at once")


def _repeats(flow: Flow) -> Iterator[Problem]:
    seen: set[str] = set()
    for node in flow.nodes:
        if node.id in seen:
            yield _problem(flow, node, f"the id `{node.id}` is used twice; triggers, tasks and merges share their ids")
        seen.add(node.id)


def _tags(flow: Flow, shape: Shape, found: int) -> Iterator[Problem]:
    for node in flow.tasks:
        if not tags_of(node):
            lacks = "waits for nothing: it can never fill" if node.cls == "merge" else "listens to nothing"
            yield _problem(flow, node, f"`{node.id}` {lacks}")
    wrong = [
        (node, tag)
        for node in flow.tasks
        for tag in tags_of(node)
        if tag not in shape.sources[node.id] and not tag.startswith(SYSTEM)
    ]
    hints = MOST_GUESSING // max(len(shape.nodes), 1) - found
    for at, (node, tag) in enumerate(wrong[:MOST_WRONG_TAGS]):
        why = why_never(tag, shape.nodes, shape.nodes if at < hints else {})
        if why:
            yield _problem(flow, node, *why)
    if len(wrong) > MOST_WRONG_TAGS:
        yield _problem(flow, None, f"{len(wrong) - MOST_WRONG_TAGS} more tags never come")


def _unreached(flow: Flow, shape: Shape, said: set[str | None]) -> Iterator[Problem]:
    can = reached([ROOT], shape.followers)
    for node in flow.tasks:
        if node.id not in can and node.id not in said:
            yield _problem(flow, node, f"`{node.id}` can never be reached: no way leads to it from a trigger")


def _merges(flow: Flow, shape: Shape, rings: list[set[str]], said: set[str | None]) -> Iterator[Problem]:
    can, started = reached([ROOT], shape.followers), fires(shape)
    again = reached({node_id for ring in rings for node_id in ring}, shape.followers)
    for node in flow.tasks:
        if node.cls != "merge" or node.id not in can or node.id in said:
            continue
        if node.id not in started:
            never = [tag for tag, source in shape.sources[node.id].items() if source not in started]
            yield _problem(flow, node, f"merge `{node.id}` can never fill: {_list(never)} never comes before it fires")
        elif node.type == "all":
            both = _exclusive(node, again)
            if both:
                yield _problem(flow, node, f"merge `{node.id}` can never fill: only one of {_list(both)} can come")


def _exclusive(merge: Node, again: set[str]) -> list[str]:
    """Two tags of one task that is done only once, so that only one of them comes."""
    seen: dict[str, str] = {}
    for tag in merge.wait:
        emitter = emitter_id(tag)
        if emitter and emitter in seen and emitter not in again:
            return [seen[emitter], tag]
        if emitter:
            seen[emitter] = tag
    return []


def _rings(flow: Flow, shape: Shape, rings: list[set[str]]) -> Iterator[Problem]:
    if not rings:
        return
    before: dict[str, list[str]] = {}
    for node_id, after in shape.followers.items():
        for follower in after:
            before.setdefault(follower, []).append(node_id)
    ending = reached([node.id for node in flow.tasks if node.type == "end"], before)
    listened: dict[str, dict[str, list[str]]] = {}
    for node_id, sources in shape.sources.items():
        for tag, source in sources.items():
            listened.setdefault(source, {}).setdefault(tag, []).append(node_id)
    order = {node.id: at for at, node in enumerate(flow.tasks)}
    for ring in rings:
        if ring & ending or any(_leaves(shape.nodes[node_id], ring, listened.get(node_id, {})) for node_id in ring):
            continue
        first = shape.nodes[min(ring, key=order.__getitem__)]
        way = way_around(first.id, ring, shape.followers)
        shown = " → ".join(way if len(way) <= SHOWN_WAY else [*way[: SHOWN_WAY - 1], "…", first.id])
        yield _problem(flow, first, f"a cycle without an exit: {shown}; only a failure or 10,000 activations end it")


def _leaves(node: Node, ring: set[str], listened: dict[str, list[str]]) -> bool:
    """Whether one of the node's tags leads out of the ring instead of on in it; an unhandled failure is no exit."""
    good = good_tags(node)
    for tag in dict.fromkeys((*emits(node).tags, *good, *listened)):
        followers = listened.get(tag, [])
        if not any(follower in ring for follower in followers) and (followers or tag in good):
            return True
    return False


def _list(tags: list[str]) -> str:
    return " and ".join(f"`{tag}`" for tag in tags[:4]) + (" and more" if len(tags) > 4 else "")
