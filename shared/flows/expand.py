"""Placeholders, workspace paths, variables and words (FLOWS §6 exec, N-07): text rules, one function each.

`expand_words` and `expand_text` apply them in the only right order; callers use those. Placeholders are filled last:
while the other rules run, a NUL stands for each, so nothing that comes from outside is ever expanded or split.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.errors import FloeError

PLACEHOLDER = re.compile(r"\{\{\s*opts\.([A-Za-z0-9_.-]+)\s*\}\}")
_WORKSPACE = re.compile(r"/?\{\{\s*ws\s*\}\}")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_SLOT = "\0"

LONGEST_TEXT = 1024 * 1024
"""Characters that placeholders may bring into one text."""
LONGEST_WORD = 128 * 1024
"""Characters of one word or variable: Linux hands no longer string to a process."""
MOST_IN_ALL = 6 * 1024 * 1024
"""Characters of all words, or all variables, of a process; the same."""


class WrongOption(FloeError):
    """An option that cannot be used as given: the node cannot be executed as asked (FLOWS N-04)."""


class UnknownOption(WrongOption):
    """A placeholder names an option that the node does not have (FLOWS N-07). `key` is that name."""

    def __init__(self, key: str) -> None:
        super().__init__(f"`{{{{ opts.{key} }}}}` names an option that this node does not have: {key}")
        self.key = key


def has_placeholder(value: Any) -> bool:
    """Whether `{{ opts.KEY }}` stands in the value, or anywhere in a list or mapping."""
    if isinstance(value, str):
        return "{{" in value and PLACEHOLDER.search(value) is not None
    if isinstance(value, Mapping):
        return any(map(has_placeholder, value.values()))
    return isinstance(value, list | tuple) and any(map(has_placeholder, value))


def fill(value: Any, opts: Mapping[str, Any]) -> Any:
    """The value with each `{{ opts.KEY }}` replaced by the effective option, in lists and mappings too (FLOWS N-07).

    Text that is nothing but a placeholder becomes the option with its type; inside other text an option stands as
    text, or as JSON. What was filled in is not looked at again. Raises UnknownOption, and WrongOption when one text
    gets longer than any process can take.
    """
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole:
            return _option(whole.group(1), opts)
        if "{{" not in value:
            return value
        bounded((text_of(_option(found.group(1), opts)) for found in PLACEHOLDER.finditer(value)), LONGEST_TEXT)
        return PLACEHOLDER.sub(lambda found: text_of(_option(found.group(1), opts)), value)
    if isinstance(value, Mapping):
        return {key: fill(inner, opts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill(inner, opts) for inner in value]
    return value


def _option(key: str, opts: Mapping[str, Any]) -> Any:
    if key in opts:
        return opts[key]
    for name, value in opts.items():
        if name.lower() == key.lower():
            return value
    raise UnknownOption(key)


def text_of(value: Any) -> str:
    """An option as a process or a line of text gets it: text as it is, the rest as JSON (FLOWS N-01)."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def expand_workspace(text: str, ws: str) -> str:
    """The workspace rules of FLOWS §6: `.`, a leading `./` (not `./...`), `{{ws}}` and `/{{ws}}`.

    `.` and `./` count at the start, or right of the `=` where the text has exactly one; `{{ws}}` counts everywhere.
    """
    left, equals, right = text.partition("=")
    if not equals or "=" in right:
        return fill_ws(_expand_dot(text, ws), ws)
    return fill_ws(left + equals + _expand_dot(right, ws), ws)


def fill_ws(text: str, ws: str) -> str:
    """The text with `{{ws}}`, or `/{{ws}}`, replaced by the workspace."""
    return _WORKSPACE.sub(lambda _: ws, text)


def _expand_dot(text: str, ws: str) -> str:
    if text == ".":
        return ws
    if text.startswith("./") and not text.startswith("./..."):
        return f"{ws}/{text[2:]}"
    return text


def expand_vars(text: str, env: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` from the environment, empty where unset; any other `$` stays (FLOWS §6 exec).

    Raises WrongOption when they bring more than a process can be given.
    """
    if "$" not in text:
        return text
    bounded(env.get(found.group(1) or found.group(2), "") for found in _VARIABLE.finditer(text))
    return _VARIABLE.sub(lambda found: env.get(found.group(1) or found.group(2), ""), text)


def bounded(parts: Iterable[str], most: int = LONGEST_WORD) -> None:
    """Raise WrongOption when the parts together are longer than `most`: before they are joined, and use the memory."""
    total = 0
    for part in parts:
        total += len(part)
        if total > most:
            raise WrongOption(f"more than {most // 1024} KiB once it is expanded, and no process can be given that")


def expand_text(text: str, ws: str, env: Mapping[str, str] | None, opts: Mapping[str, Any]) -> str:
    """One word, env entry or path: workspace rules, then variables (None: none), then placeholders, once each.

    Raises WrongOption for a NUL, in the text or in what fills it, for more than a process can be given, and
    UnknownOption.
    """
    if "\0" in text:
        raise WrongOption("an option holds a NUL byte")
    keys = PLACEHOLDER.findall(text)
    text = expand_workspace(PLACEHOLDER.sub(_SLOT, text), ws)
    if env is not None:
        text = expand_vars(text, env)
    literal = text.split(_SLOT)
    if len(literal) != len(keys) + 1:
        raise WrongOption("the workspace or a variable holds a NUL byte")
    filled = [text_of(_option(key, opts)) for key in keys]
    bounded((*literal, *filled))
    for key, value in zip(keys, filled, strict=True):
        if "\0" in value:
            raise WrongOption(f"the option {key} holds a NUL byte and cannot be handed to a command")
    return literal[0] + "".join(value + after for value, after in zip(filled, literal[1:], strict=True))


def expand_words(
    words: Iterable[Any], ws: str, env: Mapping[str, str] | None, opts: Mapping[str, Any]
) -> tuple[str, ...]:
    """Each word as `expand_text` has it; what is not text (a number in `args`) becomes text first."""
    expanded: list[str] = []
    left = MOST_IN_ALL
    for word in words:
        expanded.append(expand_text(text_of(word), ws, env, opts))
        left -= len(expanded[-1])
        if left < 0:
            bounded(expanded, MOST_IN_ALL)
    return tuple(expanded)


def split_cmd(text: str) -> list[str]:
    """The words of a command as a POSIX shell splits them: blanks, `'`, `"` and backslash; nothing is substituted.

    No globs, `~`, comments or operators: `|` and `#` are words like others. Raises WrongOption for an open quote.
    """
    words: list[str] = []
    word: list[str] | None = None
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char in " \t\r\n":
            if word is not None:
                words.append("".join(word))
                word = None
            continue
        part, at = _part(text, at, char)
        if part is not None:
            word = word if word is not None else []
            word.append(part)
    if word is not None:
        words.append("".join(word))
    return words


def _part(text: str, at: int, char: str) -> tuple[str | None, int]:
    if char == "'":
        end = text.find("'", at)
        if end < 0:
            raise WrongOption("`cmd` has a ' that is not closed")
        return text[at:end], end + 1
    if char == '"':
        return _double_quoted(text, at)
    if char == "\\" and at < len(text):
        return (None if text[at] == "\n" else text[at]), at + 1
    return char, at


def _double_quoted(text: str, at: int) -> tuple[str, int]:
    part: list[str] = []
    while at < len(text):
        char = text[at]
        at += 1
        if char == '"':
            return "".join(part), at
        if char == "\\" and at < len(text) and text[at] in '$`"\\\n':
            char = "" if text[at] == "\n" else text[at]
            at += 1
        part.append(char)
    raise WrongOption('`cmd` has a " that is not closed')
