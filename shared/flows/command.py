"""From an exec node's options to what is started: words, environment, directory (FLOWS §6 exec).

Nothing is started here, and no path is looked at: symbolic links are the agent's to check, after a checkout too.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.flows.expand import (
    MOST_IN_ALL,
    PLACEHOLDER,
    WrongOption,
    expand_text,
    expand_words,
    fill,
    fill_ws,
    has_placeholder,
    split_cmd,
    text_of,
)
from shared.flows.paths import inside


@dataclass(frozen=True, slots=True)
class ExecCommand:
    """What to start. `shown` is the log's command line, `env` the whole environment, `cwd` absolute and inside ws."""

    argv: tuple[str, ...]
    shown: str
    env: dict[str, str]
    cwd: str


def exec_command(
    node_opts: Mapping[str, Any],
    opts: Mapping[str, Any],
    ws: str,
    env: Mapping[str, str],
    facts: Mapping[str, str] | None = None,
) -> ExecCommand:
    """The command of an exec node.

    `node_opts` are the definition's, with `env` merged by `opts.merge_env`; `opts` the effective ones, which only fill
    placeholders; `env` what the agent passes on; `facts` floe's own variables (`FLOEWS`, `FLOE_OPT_*`, …), which
    nothing overrides. Raises WrongOption (FLOWS N-04) with what is wrong in words.
    """
    whole = _environment(node_opts.get("env"), opts, ws, env, {"FLOEWS": ws, **(facts or {})})
    argv = (*_command(node_opts, ws, whole), *_args(node_opts.get("args"), opts, ws, whole))
    if not argv[0]:
        raise WrongOption("`cmd` is empty once it is expanded")
    return ExecCommand(argv, command_line(argv), whole, work_dir(node_opts, opts, ws))


def command_line(argv: tuple[str, ...]) -> str:
    """The line that a task's log shows for what is started: `$ ` and the words, quoted for a shell."""
    return "$ " + shlex.join(argv)


def work_dir(node_opts: Mapping[str, Any], opts: Mapping[str, Any], ws: str) -> str:
    """The node's directory: ws, or its `sub-dir` inside it, which may not exist yet. Raises WrongOption."""
    sub = node_opts.get("sub-dir")
    return inside(ws, expand_text(text_of(sub), ws, None, opts), "sub-dir") if sub not in (None, "") else ws


def _command(node_opts: Mapping[str, Any], ws: str, env: Mapping[str, str]) -> tuple[str, ...]:
    for key in ("cmd", "shell"):
        given = node_opts.get(key)
        if given in (None, ""):
            continue
        text = _command_text(key, given)
        if key == "shell":
            return ("bash", "-c", fill_ws(text, ws))
        words = [text] if "args" in node_opts else split_cmd(text)
        return expand_words(words, ws, env, {}) or ("",)
    raise WrongOption("exec wants `cmd` or `shell`, and has neither")


def _command_text(key: str, given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise WrongOption(f"`{key}` must be text")
    text = str(given)
    found = PLACEHOLDER.search(text)
    if found:
        raise WrongOption(f"`{found.group()}` cannot stand in `{key}`: text from outside never becomes a command")
    if "\0" in text:
        raise WrongOption(f"`{key}` holds a NUL byte")
    return text


def _args(args: Any, opts: Mapping[str, Any], ws: str, env: Mapping[str, str]) -> tuple[str, ...]:
    if args is None:
        return ()
    if isinstance(args, list | tuple):
        return expand_words(args, ws, env, opts)
    filled = fill(args, opts) if isinstance(args, str) and PLACEHOLDER.fullmatch(args) else None
    if not isinstance(filled, list):
        return (expand_text(text_of(args), ws, env, opts),)
    words = tuple(text_of(item) for item in filled)
    if any("\0" in word for word in words):
        raise WrongOption("`args` holds a NUL byte and cannot be handed to a command")
    return words


def _environment(
    entries: Any, opts: Mapping[str, Any], ws: str, env: Mapping[str, str], facts: Mapping[str, str]
) -> dict[str, str]:
    """Entries in order, each may use those before it; floe's own facts can be used and cannot be overridden."""
    whole, added = {**env, **facts}, 0
    for entry in entries or ():
        text = text_of(entry)
        name, _, value = expand_text(text, ws, whole, opts).partition("=")
        if "=" not in text or not name or has_placeholder(text.partition("=")[0]):
            raise WrongOption(f"the env entry `{text[:60]}` is not NAME=value")
        if name not in facts:
            whole[name] = value
            added += len(value) + len(name)
            if added > MOST_IN_ALL:
                raise WrongOption("the env entries are more than a process can be given once they are expanded")
    return whole
