"""Tags: which ones a node can emit, and why one that somebody listens to never comes (FLOWS E-02, E-03, §7)."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.flows.model import TRIGGER_GOOD, Node
from shared.flows.problems import nearest, quote

SYSTEM = "sys."
WITH_STATUS = frozenset({"exec", "fetch", "git-checkout", "git-merge"})


@dataclass(frozen=True, slots=True)
class Emits:
    """What a node can emit: these tags, and with `statuses` also `task.ID.N` for every number N."""

    tags: tuple[str, ...]
    statuses: str | None = None

    def __contains__(self, tag: str) -> bool:
        if tag in self.tags:
            return True
        return self.statuses is not None and tag.startswith(self.statuses) and _is_status(tag[len(self.statuses) :])


def emits(node: Node) -> Emits:
    """The tags that the node can emit (FLOWS E-02, N-03, N-04); an `end` task emits none."""
    if node.cls == "trigger":
        return Emits((TRIGGER_GOOD,))
    if node.cls == "merge":
        return Emits((f"merge.{node.id}.good",))
    if node.type == "end":
        return Emits(())
    prefix = f"task.{node.id}."
    if node.ignore_fail:
        return Emits((prefix + "good",))
    if node.use_status and node.type in WITH_STATUS:
        return Emits((prefix + "error",), prefix)
    suffixes = ("good", "error") if node.type == "timer" else ("good", "bad", "error")
    return Emits(tuple(prefix + suffix for suffix in suffixes))


def good_tags(node: Node) -> tuple[str, ...]:
    """The tags with which the node says that all went well."""
    may = emits(node)
    if may.statuses is not None:
        return tuple(f"{may.statuses}{status}" for status in node.good)
    return tuple(tag for tag in may.tags if tag.endswith(".good"))


def emitter_id(tag: str) -> str | None:
    """The id of the task or merge in a tag of three parts."""
    parts = tag.split(".")
    return parts[1] if len(parts) == 3 and parts[0] in ("task", "merge") else None


def why_never(
    tag: str, nodes: Mapping[str, Node], among: Mapping[str, Node] | None = None
) -> tuple[str, str | None] | None:
    """Why no node of the flow ever emits the tag, and the tag that was probably meant; None for one that comes.

    `among`: the nodes that may have been meant instead of one that does not exist; all of them when not given.
    """
    among = nodes if among is None else among
    if tag == TRIGGER_GOOD:
        return None
    shown, parts = quote(tag), tag.split(".")
    if parts[0] == "trigger":
        return f"the tag {shown} never comes; every trigger emits `{TRIGGER_GOOD}`", TRIGGER_GOOD
    if len(parts) != 3:
        return f"the tag {shown} is not of three parts, like `task.ID.good` or `merge.ID.good`", _guess(tag, among)
    cls, node_id, suffix = parts
    if cls not in ("task", "merge"):
        return f"the tag {shown} starts with neither `task` nor `merge`", _guess(f"task.{node_id}.{suffix}", among)
    node = nodes.get(node_id)
    if node is None:
        return f"the tag {shown} is of a node that does not exist", _guess(tag, among)
    if node.cls == "trigger":
        return f"the tag {shown} never comes: `{node_id}` is a trigger", TRIGGER_GOOD
    if node.cls != cls:
        return f"the tag {shown} never comes: `{node_id}` is a {node.cls}", _like(node, suffix)
    return None if tag in emits(node) else (_not_emitted(shown, node, suffix), _like(node, suffix))


def _not_emitted(shown: str, node: Node, suffix: str) -> str:
    if node.type == "end":
        return f"the tag {shown} never comes: `{node.id}` is an `end`, which emits nothing"
    if node.ignore_fail and suffix in ("bad", "error"):
        return f"the tag {shown} never comes: `{node.id}` has `ignore-fail`, so it is always good"
    if _is_status(suffix):
        return f"the tag {shown} never comes: `{node.id}` has no `use-status`"
    if node.use_status:
        return f"the tag {shown} never comes: with `use-status` `{node.id}` emits its exit status, or `error`"
    return f"the tag {shown} is none that `{node.id}` can emit"


def _guess(tag: str, nodes: Mapping[str, Node]) -> str | None:
    parts = tag.split(".")
    word = parts[1] if len(parts) > 1 else tag
    found = nearest(word, nodes) or nearest(tag, nodes)
    return _like(nodes[found], parts[-1]) if found else None


def _like(node: Node, suffix: str) -> str | None:
    """A tag of this node, its end as near as can be to what was written."""
    may = emits(node)
    wanted = f"{node.cls}.{node.id}.{suffix}"
    if wanted in may:
        return wanted
    if may.statuses is not None:
        return f"{may.statuses}{node.good[0] if node.good else 0}"
    by_suffix = {tag.rpartition(".")[2]: tag for tag in may.tags}
    near = nearest(suffix, by_suffix)
    return by_suffix[near] if near else next(iter(may.tags), None)


def _is_status(text: str) -> bool:
    return text.isascii() and text.isdecimal() and (text == "0" or not text.startswith("0")) and len(text) <= 10
