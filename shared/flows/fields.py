"""Typed access to one mapping of a definition: what does not have its key's type is fatal, and reported."""

from collections.abc import Collection

from shared.flows.opts import BadPeriod, parse_period
from shared.flows.problems import Report, quote
from shared.flows.tree import Entries, Items, Scalar, Tree, kind, plain


class Fields:
    """The keys of one mapping. A key that is missing, or has no value, reads as its empty value."""

    def __init__(self, entries: Entries, report: Report) -> None:
        self.entries = entries
        self.report = report

    def get(self, key: str) -> Tree | None:
        """The value's tree; None where the key is missing or holds nothing."""
        tree = self.entries.entries.get(key)
        return None if isinstance(tree, Scalar) and tree.value is None else tree

    def line(self, key: str) -> int:
        """Where the key stands."""
        return self.entries.lines.get(key, self.entries.line)

    def raw(self, key: str) -> object:
        """The value as JSON."""
        tree = self.get(key)
        return None if tree is None else plain(tree)

    def text(self, key: str) -> str | None:
        """Text as written: `1.10` stays `1.10`."""
        tree = self.get(key)
        if tree is None or isinstance(tree, Scalar):
            return tree.text if tree else None
        self._wrong(key, "text", tree)
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single one counts as a list of one."""
        tree = self.get(key)
        if tree is None:
            return ()
        if isinstance(tree, Scalar):
            return (tree.text,)
        if isinstance(tree, Items) and all(isinstance(item, Scalar) for item in tree.items):
            return tuple(item.text for item in tree.items if isinstance(item, Scalar))
        self._wrong(key, "a list of texts", tree)
        return ()

    def flag(self, key: str) -> bool:
        """True or false, and none of the words that look like it."""
        tree = self.get(key)
        if tree is None:
            return False
        if isinstance(tree, Scalar) and isinstance(tree.value, bool):
            return tree.value
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
        word = tree.text.lower() if isinstance(tree, Scalar) else ""
        self._wrong(key, "true or false", tree, meant.get(word))
        return False

    def whole(self, key: str, default: int, least: int) -> int:
        """A whole number, not less than `least`."""
        tree = self.get(key)
        if tree is None:
            return default
        if isinstance(tree, Scalar) and _is_whole(tree.value) and int(tree.value or 0) >= least:
            return int(tree.value or 0)
        self._wrong(key, f"a whole number from {least} on", tree)
        return default

    def wholes(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of whole numbers; a single one counts as a list of one."""
        tree = self.get(key)
        if tree is None:
            return default
        items = tree.items if isinstance(tree, Items) else (tree,)
        found = tuple(item.value for item in items if isinstance(item, Scalar) and _is_whole(item.value))
        if len(found) == len(items):
            return tuple(int(number or 0) for number in found)
        self._wrong(key, "a list of whole numbers", tree)
        return default

    def seconds(self, key: str) -> float | None:
        """A period above zero, in seconds (FLOWS N-08)."""
        tree = self.get(key)
        if tree is None:
            return None
        try:
            seconds = parse_period(plain(tree))
        except BadPeriod:
            seconds = 0.0
        if seconds > 0:
            return seconds
        self._wrong(key, "a length of time like `30s`, `5m` or a number of seconds", tree)
        return None

    def mappings(self, key: str) -> list[Entries]:
        """A list of mappings; what is none is reported and left out."""
        tree = self.get(key)
        if tree is None:
            return []
        if not isinstance(tree, Items):
            self._wrong(key, "a list", tree)
            return []
        for item in tree.items:
            if not isinstance(item, Entries):
                self.report.fatal(f"an entry of `{key}` must be a mapping, and is {_shown(item)}", item.line)
        return [item for item in tree.items if isinstance(item, Entries)]

    def unknown(self, known: Collection[str], what: str) -> None:
        """A problem for each key that is not known (FLOWS F-04)."""
        for key, line in self.entries.lines.items():
            if key not in known:
                hint = self.report.suggest(key, known)
                self.report.problem(f"{what} has no key {quote(key)}", line, hint)

    def _wrong(self, key: str, wanted: str, tree: Tree, hint: str | None = None) -> None:
        self.report.fatal(f"`{key}` must be {wanted}, and is {_shown(tree)}", self.line(key), hint)


def report_repeats(tree: Tree, report: Report, skip: tuple[str, ...] = ()) -> None:
    """A problem for each key that stands twice in a mapping, here or below, but not under those in `skip` (F-10)."""
    if isinstance(tree, Items):
        for item in tree.items:
            report_repeats(item, report)
    elif isinstance(tree, Entries):
        for key, line in tree.repeated:
            report.problem(f"the key {quote(key)} stands twice in one mapping; the last one counts", line)
        for key, value in tree.entries.items():
            if key not in skip:
                report_repeats(value, report)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(tree: Tree) -> str:
    if isinstance(tree, Scalar) and tree.value is not None:
        return f"{'the text ' if isinstance(tree.value, str) else ''}{quote(tree.text)}"
    return kind(tree)
