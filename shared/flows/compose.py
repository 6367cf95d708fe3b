"""Builds a document's tree from parser events, without recursion, within bounds that hold before anything is built.

FLOWS F-10, RELIABILITY §2: depth, aliases and values are counted as the events come, aliases as often as they are used.
"""

from dataclasses import dataclass, field

from shared.errors import FloeError
from shared.flows.tree import Entries, Items, Scalar, Tree, typed

MOST_DEPTH = 50
MOST_ALIASES = 100
MOST_NODES = 50_000

_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}


class FlowSyntaxError(FloeError):
    """The text is no YAML that floe reads. `line` counts from 1, None where no line is to blame."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not come yet."""

    is_mapping: bool
    line: int
    anchor: str | None
    children: list[Tree] = field(default_factory=list)


class Composer:
    """Takes one call per event; `root` is the tree once the document is complete. Raises FlowSyntaxError at a bound."""

    def __init__(self) -> None:
        self.root: Tree | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, Tree] = {}
        self._nodes = self._aliases = 0

    def scalar(self, text: str, tag: str | None, is_plain: bool, anchor: str | None, line: int) -> None:
        """One value; `is_plain` without quotes and tag, so that the schema types it."""
        self._count(1, line)
        self._attach(_scalar(text, tag, is_plain, line), anchor)

    def begin(self, is_mapping: bool, tag: str | None, anchor: str | None, line: int) -> None:
        """A sequence or mapping opens."""
        self._count(1, line)
        _check_tag(tag, ("seq", "map"), line)
        self._open.append(_Open(is_mapping, line, anchor))
        self._check_depth(0, line)
        if anchor:
            self._anchors.pop(anchor, None)

    def end(self) -> None:
        """The sequence or mapping that opened last is complete."""
        done = self._open.pop()
        self._attach(_mapping(done) if done.is_mapping else _sequence(done), done.anchor)

    def alias(self, anchor: str, line: int) -> None:
        """What an anchor stands at, again. Counts as often as it is used."""
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            raise FlowSyntaxError(f"the document has more than {MOST_ALIASES} aliases", line)
        tree = self._anchors.get(anchor)
        if tree is None:
            raise FlowSyntaxError(f"the alias `*{anchor[:40]}` has no anchor before it", line)
        self._count(tree.size, line)
        self._check_depth(tree.height, line)
        self._attach(tree, None)

    def _count(self, more: int, line: int) -> None:
        self._nodes += more
        if self._nodes > MOST_NODES:
            raise FlowSyntaxError(
                f"the document has more than {MOST_NODES:,} values, counting what aliases repeat", line
            )

    def _check_depth(self, below: int, line: int) -> None:
        if len(self._open) + below > MOST_DEPTH:
            raise FlowSyntaxError(f"the document is nested more than {MOST_DEPTH} deep", line)

    def _attach(self, tree: Tree, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = tree
        if self._open:
            self._open[-1].children.append(tree)
        else:
            self.root = tree


def _scalar(text: str, tag: str | None, is_plain: bool, line: int) -> Scalar:
    if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise FlowSyntaxError("the document holds a character that is no text (NUL or half of a pair)", line)
    kind = _check_tag(tag, ("str", *_KINDS), line)
    if kind not in _KINDS:
        return Scalar(text, typed(text) if is_plain else text, line)
    value = typed(text)
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise FlowSyntaxError(f"`{text[:40]}` is no {kind}", line)
    return Scalar(text, value, line)


def _check_tag(tag: str | None, allowed: tuple[str, ...], line: int) -> str:
    if tag in (None, "!"):
        return ""
    kind = str(tag).removeprefix(_CORE)
    if kind in allowed:
        return kind
    raise FlowSyntaxError(f"the tag `{str(tag)[:60]}` is not allowed; a definition is plain data", line)


def _sequence(done: _Open) -> Items:
    size, height = _measure(done.children)
    return Items(tuple(done.children), done.line, size, height)


def _mapping(done: _Open) -> Entries:
    entries: dict[str, Tree] = {}
    lines: dict[str, int] = {}
    repeated: list[tuple[str, int]] = []
    keys = iter(done.children)
    for key, value in zip(keys, keys, strict=True):
        if not isinstance(key, Scalar):
            raise FlowSyntaxError("a key of a mapping must be text", key.line)
        if key.text in entries:
            repeated.append((key.text, key.line))
        entries[key.text] = value
        lines[key.text] = key.line
    size, height = _measure(done.children)
    return Entries(entries, lines, done.line, tuple(repeated), size, height)


def _measure(children: list[Tree]) -> tuple[int, int]:
    return 1 + sum(child.size for child in children), 1 + max((child.height for child in children), default=0)
