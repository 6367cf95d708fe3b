"""What is wrong with a definition: one value per finding, with the place and the nearest right name.

Levels (FLOWS, top): `fatal`, the flow is refused; `problem`, it is accepted and shown; `note`, worth knowing.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["fatal", "problem", "note"]

LONGEST_WORD = 80
MOST_CANDIDATES = 1000
MOST_HINTS = 50
MOST_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `hint` is text to put in place of what is wrong; `line` counts from 1; `flow` is the flow's id."""

    level: Level
    message: str
    line: int | None = None
    node: str | None = None
    hint: str | None = None
    file: str | None = None
    flow: str | None = None


def to_json(problem: Problem) -> dict[str, Any]:
    """The finding as the api shows it."""
    return {
        "level": problem.level,
        "message": problem.message,
        "line": problem.line,
        "node": problem.node,
        "hint": problem.hint,
        "flow": problem.flow,
    }


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like this one, or None when nothing is near. Bounded work, whatever comes in."""
    if not word or len(word) > LONGEST_WORD:
        return None
    plain: dict[str, str] = {}
    for candidate in known:
        if len(plain) == MOST_CANDIDATES:
            break
        plain.setdefault(_plain(candidate), candidate)
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")


def quote(text: str) -> str:
    """Text from a file, fit for a message: on one line, printable, not long."""
    shown = text if len(text) <= LONGEST_WORD else text[: LONGEST_WORD - 1] + "…"
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return f"`{shown}`"


def render(problem: Problem) -> str:
    """One line: `FILE:LINE: level: [node] message (did you mean X?)`."""
    place = problem.file or "definition"
    if problem.line:
        place += f":{problem.line}"
    node = f"[{problem.node}] " if problem.node else ""
    hint = f" (did you mean {problem.hint}?)" if problem.hint else ""
    return f"{place}: {problem.level}: {node}{problem.message}{hint}"


def in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By line, without repeats, and no more than a person would read: the rest is counted in a last note."""
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (p.line or 0, p.level != "fatal"))
    if len(ordered) <= MOST_PROBLEMS:
        return tuple(ordered)
    fatal = [p for p in ordered if p.level == "fatal"]
    shown = sorted((fatal + [p for p in ordered if p.level != "fatal"])[:MOST_PROBLEMS], key=lambda p: p.line or 0)
    rest = len(ordered) - MOST_PROBLEMS
    return (*shown, Problem("note", f"and {rest} more findings, not shown", file=ordered[0].file))


@dataclass(slots=True)
class Report:
    """Where readers put what they find. `within` gives one for a part: same list, own prefix, node and flow."""

    file: str | None = None
    prefix: str = ""
    node: str | None = None
    flow: str | None = None
    line: int | None = None
    found: list[Problem] = field(default_factory=list)
    failed: bool = False
    _parent: "Report | None" = None

    def within(self, prefix: str, line: int | None) -> "Report":
        """A report for one flow or node; a fatal finding in it makes this one `failed` too."""
        return Report(self.file, self.prefix + prefix, self.node, self.flow, line, self.found, False, self)

    def fatal(self, message: str, line: int | None = None, hint: str | None = None) -> None:
        """The flow is refused. The message starts with where: `flow N - task N - ` (FLOWS F-02)."""
        self._add("fatal", self.prefix + message, line, hint)
        report: Report | None = self
        while report is not None:
            report.failed = True
            report = report._parent

    def problem(self, message: str, line: int | None = None, hint: str | None = None) -> None:
        """Accepted and shown; `floe validate` exits 1."""
        self._add("problem", message, line, hint)

    def note(self, message: str, line: int | None = None) -> None:
        """Worth knowing; `floe validate` exits 0."""
        self._add("note", message, line, None)

    def suggest(self, word: str, known: Iterable[str]) -> str | None:
        """The nearest known word, as long as there have not been so many findings that nobody would read it."""
        return nearest(word, known) if len(self.found) < MOST_HINTS else None

    def _add(self, level: Level, message: str, line: int | None, hint: str | None) -> None:
        self.found.append(Problem(level, message, line or self.line, self.node, hint, self.file, self.flow))
