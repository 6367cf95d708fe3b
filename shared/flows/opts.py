"""What a node sees (FLOWS N-01): how opts and env are merged, what reaches a process, what a task hands back (N-06)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import FloeError
from shared.flows.expand import WrongOption, fill, has_placeholder, text_of
from shared.flows.model import Node

VALUE_LIMIT = 32 * 1024
TOTAL_LIMIT = 512 * 1024
LONGEST_PERIOD = 10 * 366 * 86400.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERIOD = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PERIOD_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NOT_IN_A_VARIABLE = re.compile(r"[^A-Z0-9_]")


class BadPeriod(FloeError):
    """A text that is no length of time."""


def merge_env(flow_env: Any, trigger_env: Any = None, node_env: Any = None) -> tuple[str, ...]:
    """The `env` lists of definitions one after the other, so that later entries win (FLOWS N-01).

    What is not a list counts as absent: a caller cannot hand in an `env`.
    """
    lists = (entries for entries in (flow_env, trigger_env, node_env) if isinstance(entries, list | tuple))
    return tuple(text_of(entry) for entries in lists for entry in entries)


def overlay(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Opts laid over each other key by key, the last wins. Names that differ only in case are one (FLOWS F-06)."""
    merged: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            folded = key.lower()
            merged.pop(spelled.get(folded, key), None)
            spelled[folded] = key
            merged[key] = value
    return merged


def effective_opts(
    run_opts: Mapping[str, Any] | None, event_opts: Mapping[str, Any] | None, node: Node
) -> dict[str, Any]:
    """What the node sees: run opts, overlaid by its event's, overlaid by its own definition (FLOWS N-01).

    Placeholders in the definition are filled here from what lies below and the definition's literal values; one that
    names nothing stays as written, for `fill` to complain about where it is used. Data, never instruction: what a task
    does comes from `node.opts`.
    """
    literal = {key: value for key, value in node.opts.items() if not has_placeholder(value)}
    seen = overlay(run_opts, event_opts, literal)
    if len(literal) == len(node.opts):
        return seen
    return overlay(seen, {key: _try_fill(node.opts[key], seen) for key in node.opts if key not in literal})


def _try_fill(value: Any, opts: Mapping[str, Any]) -> Any:
    try:
        return fill(value, opts)
    except WrongOption:
        return value


def variable(key: str) -> str:
    """The environment variable of an option: `FLOE_OPT_` and the key, upper-cased, other characters `_`."""
    return "FLOE_OPT_" + _NOT_IN_A_VARIABLE.sub("_", key.upper())


def floe_env(opts: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The opts as `FLOE_OPT_*`, and those that only the file in `FLOE_OPTS` holds, each with why (FLOWS N-01).

    A value with NUL, one that is not valid text, one over 32 KiB, and what goes beyond 512 KiB in all is left out.
    """
    env: dict[str, str] = {}
    omitted: list[tuple[str, str]] = []
    total = 0
    for key, value in opts.items():
        name, text = variable(key), text_of(value)
        why, size = _why_not(name, text)
        if not why and name in env:
            why = f"another option is {name} too"
        elif not why and total + size > TOTAL_LIMIT:
            why = f"the options together are over {TOTAL_LIMIT // 1024} KiB"
        if why:
            omitted.append((key, why))
            continue
        env[name] = text
        total += size
    return env, omitted


def _why_not(name: str, text: str) -> tuple[str, int]:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "it is not valid text", 0
    if "\0" in text:
        return "it holds a NUL", 0
    if size > VALUE_LIMIT or len(name) > VALUE_LIMIT:
        return f"it is over {VALUE_LIMIT // 1024} KiB", 0
    return "", len(name) + size + 2


@dataclass(frozen=True, slots=True)
class Given:
    """An option's value and whether it came from outside the definition, so that it is to be trusted less."""

    value: str
    outside: bool


_GIT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "url": ("url",),
    "branch": ("branch", "ref"),
    "hash": ("hash",),
    "from-branch": ("from-branch", "from-ref"),
}


def git_options(definition: Mapping[str, Any], opts: Mapping[str, Any]) -> dict[str, Given]:
    """Which `url`, `branch`, `hash` and `from-branch` a git task works with (FLOWS N-01, §6); absent where none is.

    `definition` are the node's own opts, `opts` the effective ones. The definition's, aliases included, come first; the
    event's where it leaves them out: by their own names only, and no `hash` or `branch` where the definition itself
    says which revision it wants. Text with a placeholder counts as from outside (N-07). Raises UnknownOption.
    """
    found: dict[str, Given] = {}
    for key, names in _GIT_OPTIONS.items():
        own = next((definition[name] for name in names if definition.get(name) not in (None, "")), None)
        if own is not None:
            found[key] = Given(text_of(fill(own, opts)), has_placeholder(own))
    pinned = "branch" in found or "hash" in found
    for key in _GIT_OPTIONS:
        if key in found or (pinned and key in ("branch", "hash")):
            continue
        value = _option(opts, key)
        if isinstance(value, str) and value:
            found[key] = Given(value, True)
    return found


def url_option(definition: Mapping[str, Any], opts: Mapping[str, Any]) -> Given | None:
    """The definition's `url`, filled; from outside when it holds a placeholder (FLOWS N-07). Raises UnknownOption."""
    url = definition.get("url")
    return Given(text_of(fill(url, opts)), has_placeholder(url)) if url not in (None, "") else None


def _option(opts: Mapping[str, Any], key: str) -> Any:
    return opts[key] if key in opts else next((value for name, value in opts.items() if name.lower() == key), None)


def parse_period(value: Any) -> float:
    """Seconds of `30s`, `5m`, `1h30m`, `250ms`, `2d`, `10` or 10 (FLOWS N-08). Raises BadPeriod; 0 is a period."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= LONGEST_PERIOD else LONGEST_PERIOD + 1
    elif isinstance(value, str):
        seconds = _seconds(value.strip().lower())
    else:
        raise BadPeriod(f"{text_of(value)[:40]} is no length of time; write `30s`, `5m` or a number of seconds")
    if not 0 <= seconds <= LONGEST_PERIOD:
        raise BadPeriod(f"{str(value)[:40]} is no length of time between 0 and ten years")
    return seconds


def _seconds(text: str) -> float:
    if len(text) > 40 or not (_PERIOD.fullmatch(text) or _NUMBER.fullmatch(text)):
        raise BadPeriod(f"`{text[:40]}` is no length of time; write `30s`, `5m` or a number of seconds")
    if _NUMBER.fullmatch(text):
        return float(text)
    return sum(float(number) * _UNITS[unit] for number, unit in _PERIOD_PART.findall(text))


def names_of(keys: Iterable[tuple[str, str]]) -> str:
    """What `floe_env` left out, in one line for the task's log."""
    return ", ".join(f"{key} ({why})" for key, why in keys)
