"""A flow's graph for those who look at it: who listens to what, edges, levels, problems (FLOWS §7)."""

from shared.flows.graph_check import graph_problems
from shared.flows.model import Flow
from shared.flows.shape import ROOT, postorder, reached, shape_of, tags_of
from shared.flows.tags import emits

__all__ = ["edges", "emits", "graph_problems", "levels", "listeners", "tags_that_lead_back"]

Edge = tuple[str, str, str]


def listeners(flow: Flow) -> dict[str, tuple[str, ...]]:
    """Tag to the ids of the tasks that listen to it and the merges that wait for it, in file order (FLOWS N-02)."""
    found: dict[str, list[str]] = {}
    for node in flow.tasks:
        for tag in dict.fromkeys(tags_of(node)):
            found.setdefault(tag, []).append(node.id)
    return {tag: tuple(ids) for tag, ids in found.items()}


def edges(flow: Flow) -> tuple[Edge, ...]:
    """`(from, to, tag)` for each tag that can come, by listener in file order; `trigger.good` has every trigger."""
    shape = shape_of(flow)
    triggers = [trigger.id for trigger in flow.triggers]
    return tuple(
        (emitter, node_id, tag)
        for node_id, sources in shape.sources.items()
        for tag, source in sources.items()
        for emitter in (triggers if source == ROOT else [source])
    )


def levels(flow: Flow) -> tuple[tuple[str, ...], ...]:
    """The nodes by how far they are from a trigger (FLOWS §7).

    Level 0 the triggers, level 1 what listens to `trigger.good`, both in file order; then 1 + the highest level of what
    a node waits for, by id; edges that close a cycle do not count. What nobody can reach stands in a last level.
    """
    shape = shape_of(flow)
    order, back = postorder([ROOT], shape.followers)
    level = dict.fromkeys(order, 0)
    for node_id in reversed(order):
        for after in shape.followers[node_id]:
            if (node_id, after) not in back:
                level[after] = max(level[after], level[node_id] + 1)
    by_level: dict[int, list[str]] = {0: [trigger.id for trigger in flow.triggers]}
    for node_id in shape.sources:
        if node_id in level:
            by_level.setdefault(level[node_id], []).append(node_id)
    found = [ids if at <= 1 else sorted(ids) for at, ids in sorted(by_level.items())]
    unreached = sorted(set(shape.sources) - reached([ROOT], shape.followers))
    return tuple(tuple(ids) for ids in [*found, *([unreached] if unreached else [])])


def tags_that_lead_back(flow: Flow, merge_id: str) -> frozenset[str]:
    """Of the tags that the merge waits for those that only come after it fired: no way round it leads to them.

    A circle of nothing but merges is none: it would go round without end in no time.
    """
    shape = shape_of(flow)
    around = {node_id: after for node_id, after in shape.followers.items() if node_id != merge_id}
    merges = {i: [j for j in after if shape.nodes[j].cls == "merge"] for i, after in shape.followers.items()}
    before, at_once = reached([ROOT], around), reached([merge_id], merges)
    sources = shape.sources.get(merge_id, {})
    return frozenset(tag for tag, source in sources.items() if source not in before | at_once)
