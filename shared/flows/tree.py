"""What a YAML document is before it means anything: scalars, sequences and mappings with their lines.

Scalars are typed by the core schema of YAML 1.2 (FLOWS F-10) and keep their text, so that a version written `1.10` can
still be read as text. Trees are immutable; aliases share them, and `size` counts them once per use.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: its text as written (quotes and folding undone), and what the schema makes of it."""

    text: str
    value: str | int | float | bool | None
    line: int
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Items:
    """A YAML sequence."""

    items: tuple["Tree", ...]
    line: int
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Entries:
    """A YAML mapping; its keys are the keys' texts. Of a key that stands twice the last counts; `repeated` has it."""

    entries: dict[str, "Tree"]
    lines: dict[str, int]
    line: int
    repeated: tuple[tuple[str, int], ...] = ()
    size: int = 1
    height: int = 1


Tree = Scalar | Items | Entries


def typed(text: str) -> str | int | float | bool | None:
    """A plain scalar's value by the core schema: `n: 3` is a number, `no` and `1:2:3` are text (FLOWS F-10).

    What JSON or 64 bits cannot hold (`.inf`, `.nan`, forty digits) stays text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 400:
        return text
    if _INT.fullmatch(text):
        return _bounded(int(text), text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return _bounded(int(text, 0), text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _bounded(number: int, text: str) -> int | str:
    return number if -(2**63) <= number < 2**63 else text


def plain(tree: Tree) -> Any:
    """The tree as JSON values."""
    if isinstance(tree, Scalar):
        return tree.value
    if isinstance(tree, Items):
        return [plain(item) for item in tree.items]
    return {key: plain(value) for key, value in tree.entries.items()}


def kind(tree: Tree) -> str:
    """What a person would call it, for messages."""
    if isinstance(tree, Items):
        return "a list"
    if isinstance(tree, Entries):
        return "a mapping"
    if tree.value is None:
        return "nothing"
    if isinstance(tree.value, bool):
        return f"{tree.text}"
    return "a number" if isinstance(tree.value, int | float) else "text"
