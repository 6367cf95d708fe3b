"""A flow's graph as adjacency: who follows whom, what can be reached, what runs in circles. All in linear time.

All triggers count as one root, because their one tag is the same. A merge is taken as reached when one of its tags is;
`fires` is the strict reading, where an `all` merge needs every one.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.flows.model import TRIGGER_GOOD, Flow, Node
from shared.flows.tags import emits, emitter_id

ROOT = ""

Adjacency = Mapping[str, Sequence[str]]


def tags_of(node: Node) -> tuple[str, ...]:
    """The tags that a task listens to or a merge waits for."""
    if node.cls == "merge":
        return node.wait
    return (node.listen,) if node.listen else ()


@dataclass(frozen=True, slots=True)
class Shape:
    """Who follows whom. `sources` has, for each task and merge, the emitter of each of its tags that can come."""

    nodes: Mapping[str, Node]
    sources: Mapping[str, Mapping[str, str]]
    followers: Adjacency


def shape_of(flow: Flow) -> Shape:
    """The flow's graph; tags that never come make no edge, and of two nodes with one id the first counts."""
    nodes: dict[str, Node] = {}
    for node in flow.nodes:
        nodes.setdefault(node.id, node)
    sources: dict[str, dict[str, str]] = {}
    followers: dict[str, list[str]] = {ROOT: [], **{node_id: [] for node_id in nodes}}
    for node in flow.tasks:
        if nodes[node.id] is not node:
            continue
        found = {tag: source for tag in tags_of(node) if (source := _source(tag, nodes)) is not None}
        sources[node.id] = found
        for source in dict.fromkeys(found.values()):
            followers[source].append(node.id)
    return Shape(nodes, sources, followers)


def _source(tag: str, nodes: Mapping[str, Node]) -> str | None:
    if tag == TRIGGER_GOOD:
        return ROOT
    emitter = nodes.get(emitter_id(tag) or "")
    return emitter.id if emitter is not None and emitter.cls != "trigger" and tag in emits(emitter) else None


def reached(starts: Iterable[str], followers: Adjacency) -> set[str]:
    """The starts and all that follows them."""
    seen = set(starts)
    queue = deque(seen)
    while queue:
        for after in followers.get(queue.popleft(), ()):
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return seen


def fires(shape: Shape) -> set[str]:
    """The nodes that can start or fire at least once, when an `all` merge needs every tag it waits for."""
    sources = {node_id: Counter(found.values()) for node_id, found in shape.sources.items()}
    lacking = {
        node_id: found.total() if shape.nodes[node_id].type == "all" else 1 for node_id, found in sources.items()
    }
    seen = {ROOT}
    queue = deque(seen)
    while queue:
        source = queue.popleft()
        for after in shape.followers[source]:
            lacking[after] -= sources[after][source]
            if lacking[after] <= 0 and after not in seen:
                seen.add(after)
                queue.append(after)
    return seen


def postorder(starts: Iterable[str], followers: Adjacency) -> tuple[list[str], set[tuple[str, str]]]:
    """Depth-first order by finish, and the edges that lead back to a node still open, which close the cycles."""
    done: list[str] = []
    back: set[tuple[str, str]] = set()
    is_open: dict[str, bool] = {}
    for start in starts:
        if start in is_open:
            continue
        is_open[start] = True
        stack = [(start, iter(followers.get(start, ())))]
        while stack:
            node, rest = stack[-1]
            after = next(rest, None)
            if after is None:
                stack.pop()
                is_open[node] = False
                done.append(node)
            elif after not in is_open:
                is_open[after] = True
                stack.append((after, iter(followers.get(after, ()))))
            elif is_open[after]:
                back.add((node, after))
    return done, back


def circles(shape: Shape) -> list[set[str]]:
    """The sets of nodes that can all reach each other, a node that follows itself included, in file order."""
    before: dict[str, list[str]] = {node_id: [] for node_id in shape.followers}
    for node_id, after in shape.followers.items():
        for follower in after:
            before[follower].append(node_id)
    order, _ = postorder(shape.followers, shape.followers)
    taken: set[str] = set()
    found: list[set[str]] = []
    for node_id in reversed(order):
        if node_id in taken:
            continue
        group = {node_id}
        queue = [node_id]
        taken.add(node_id)
        while queue:
            for earlier in before[queue.pop()]:
                if earlier not in taken:
                    taken.add(earlier)
                    group.add(earlier)
                    queue.append(earlier)
        if len(group) > 1 or node_id in shape.followers[node_id]:
            found.append(group)
    place = {node_id: at for at, node_id in enumerate(shape.nodes)}
    return sorted(found, key=lambda group: min(place[node_id] for node_id in group))


def way_around(start: str, group: set[str], followers: Adjacency) -> list[str]:
    """A shortest way from a node of a circle back to it, the node at both ends."""
    came_from = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for after in followers[node]:
            if after == start:
                way = [start]
                while node != start:
                    way.append(node)
                    node = came_from[node]
                return [start, *reversed(way)] if len(way) > 1 else [start, start]
            if after in group and after not in came_from:
                came_from[after] = node
                queue.append(after)
    return [start]
