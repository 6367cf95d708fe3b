"""Reads and checks a node's `opts` (FLOWS F-06, §3, §6, N-07).

What would fail when the node runs (N-04) is a problem here already; a placeholder where a command comes from is fatal.
"""

from collections.abc import Mapping
from typing import Any

from shared.flows.expand import has_placeholder
from shared.flows.model import NodeClass
from shared.flows.option_checks import CHECKS
from shared.flows.opts import variable
from shared.flows.problems import Report, nearest, quote
from shared.flows.schema import OTHERS_SAY, TYPES, Option
from shared.flows.tree import Entries, Items, Scalar, Tree, kind, plain
from shared.flows.type_rules import type_rules


def read_opts(tree: Tree | None, cls: NodeClass, type_: str, report: Report) -> dict[str, Any]:
    """The options by lower-case name, as JSON values; texts keep their spelling (`1.10`). Reports what is wrong."""
    if tree is None:
        tree = Entries({}, {}, report.line or 0)
    if not isinstance(tree, Entries):
        report.fatal(f"`opts` must be a mapping, and is {kind(tree)}", tree.line)
        return {}
    known = TYPES[cls].get(type_, {})
    opts: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for written, value in tree.entries.items():
        key, line = written.lower(), tree.lines[written]
        if key in opts:
            report.problem(f"the option {quote(key)} stands twice, in different case; the last one counts", line)
        if key not in known and type_ in TYPES[cls]:
            _unknown(key, cls, type_, known, line, report)
        found = _value(key, value, known.get(key), line, report)
        if found is not None:
            opts[key] = found
            lines[key] = line
    for key, option in known.items():
        if option.required and key not in opts:
            report.problem(f"{_a(cls, type_)} needs the option `{key}`", tree.line or None)
    type_rules(cls, type_, opts, lines, report)
    return opts


def _a(cls: str, type_: str) -> str:
    name = f"{type_} {cls}"
    return ("an " if name[0] in "aeiou" else "a ") + name


def _unknown(key: str, cls: str, type_: str, known: Mapping[str, Option], line: int, report: Report) -> None:
    """A slip of the pen is a problem; any other name is the author's own data, noted for tasks (FLOWS F-04, N-01)."""
    words = {**{word: own for word, own in OTHERS_SAY.items() if own in known}, **{own: own for own in known}}
    near = nearest(key, words, 0.75)
    if near:
        report.problem(f"{_a(cls, type_)} has no option {quote(key)}", line, words[near])
    elif cls != "trigger":
        report.note(f"{_a(cls, type_)} has no option {quote(key)}; processes see it as {variable(key)[:60]}", line)


def _value(key: str, tree: Tree, option: Option | None, line: int, report: Report) -> Any:
    value = plain(tree)
    if value is None or option is None:
        return value
    if option.kind in ("text", "path", "pattern", "cron", "timezone", "choice"):
        if not isinstance(tree, Scalar):
            report.problem(f"the option `{key}` must be text, and is {kind(tree)}", line)
            return value
        value = tree.text
    elif option.kind in ("texts", "env", "choices"):
        items = tree.items if isinstance(tree, Items) else (tree,)
        texts = [item.text for item in items if isinstance(item, Scalar)]
        if len(texts) < len(items):
            form = ", as [NAME=value]" if option.kind == "env" else ""
            report.problem(f"the option `{key}` must be a list of texts{form}", line)
            return value
        value = texts[0] if isinstance(tree, Scalar) and key == "args" and has_placeholder(tree.text) else texts
    check = CHECKS.get(option.kind)
    if check is not None:
        check(key, value, option, line, report)
    return value
