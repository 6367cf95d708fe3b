"""What a type asks of its options together (FLOWS §6, T-06): which exclude, need or decide each other."""

import re
from collections.abc import Mapping
from typing import Any

from shared.flows.expand import PLACEHOLDER, WrongOption, has_placeholder, split_cmd
from shared.flows.option_checks import check_command, refuse_placeholder
from shared.flows.problems import Report, quote

_OPERATORS = frozenset({"|", "||", "&&", ";", "&", ">", ">>", "<", "2>&1"})
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_HASH = re.compile(r"[0-9a-fA-F]{40,64}")
_CHECKSUM = re.compile(r"([0-9a-fA-F]+)(\s+\*?\S.*)?")
_SHA_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}

Opts = Mapping[str, Any]
Lines = Mapping[str, int]


def type_rules(cls: str, type_: str, opts: Opts, lines: Lines, report: Report) -> None:
    """Report what does not go together. `lines` has where each option stands."""
    rules = {"exec": _exec, "fetch": _fetch, "git-checkout": _git, "git-merge": _git, "git-push": _git_push}
    rule = rules.get(type_)
    if rule is not None and cls == ("trigger" if type_ == "git-push" else "task"):
        rule(opts, lines, report)


def _exec(opts: Opts, lines: Lines, report: Report) -> None:
    given = [key for key in ("cmd", "shell") if opts.get(key) not in (None, "")]
    if len(given) == 2:
        report.problem("exec has both `cmd` and `shell`; `cmd` is run and `shell` is not", lines["shell"])
    elif not given:
        report.problem("exec has neither `cmd` nor `shell`: there is nothing to run")
    for key in given:
        if isinstance(opts[key], str):
            check_command(key, opts[key], lines[key], report)
    _args(opts.get("args"), lines.get("args", 0), report)
    if "cmd" in given and "args" not in opts and isinstance(opts["cmd"], str):
        _words(opts["cmd"], lines["cmd"], report)


def _args(args: Any, line: int, report: Report) -> None:
    for arg in args if isinstance(args, list) else ():
        name, equals, _ = arg.partition("=") if isinstance(arg, str) else ("", "", "")
        found = PLACEHOLDER.search(name)
        if found and equals:
            refuse_placeholder(found, f"left of the `=` in {quote(arg)}", line, report)


def _words(cmd: str, line: int, report: Report) -> None:
    try:
        words = split_cmd(cmd)
    except WrongOption:
        return
    if words and "$FLOE_OPT_" in words[0].replace("${", "$"):
        report.problem("`cmd` takes its program from an option, which anybody may set who starts the flow", line)
    operator = next((word for word in words if word in _OPERATORS), None)
    if operator:
        report.note(
            f"`cmd` hands `{operator}` to the program as a word; in `shell` it would have its usual meaning", line
        )


def _fetch(opts: Opts, lines: Lines, report: Report) -> None:
    url = opts.get("url")
    if isinstance(url, str) and not has_placeholder(url) and not url.startswith(("http://", "https://", "file:")):
        report.problem(
            f"fetch cannot load {quote(url)}: the url must start with https://, http:// or file:", lines["url"]
        )
    checksum, algorithm = opts.get("checksum"), opts.get("checksum-algo")
    if not isinstance(checksum, str) or has_placeholder(checksum):
        return
    found = _CHECKSUM.fullmatch(checksum.strip())
    length = len(found[1]) if found else 0
    wanted = _SHA_LENGTHS.get(algorithm.lower()) if isinstance(algorithm, str) else None
    if length not in _SHA_LENGTHS.values():
        report.problem(f"{quote(checksum)} is no checksum: hex of md5, sha1, sha256 or sha512", lines["checksum"])
    elif wanted is not None and wanted != length:
        report.problem(f"the checksum has {length} digits, and {algorithm} has {wanted}", lines["checksum"])


def _git(opts: Opts, lines: Lines, report: Report) -> None:
    for key in ("url", "branch", "ref", "from-branch", "from-ref", "hash"):
        value = opts.get(key)
        if not isinstance(value, str) or has_placeholder(value):
            continue
        if value.startswith("-"):
            report.problem(f"the option `{key}` could be read as an option of git: {quote(value)}", lines[key])
        elif key == "url" and _HELPER.match(value):
            report.problem(
                f"the url {quote(value)} names a helper program, which git is not allowed to start", lines[key]
            )
        elif key == "hash" and not _HASH.fullmatch(value):
            report.problem(f"{quote(value)} is no commit's hash: 40 to 64 hex digits", lines[key])


def _git_push(opts: Opts, lines: Lines, report: Report) -> None:
    if not opts.get("url") and not opts.get("repo"):
        report.problem("a git-push trigger needs `url` or `repo`, or it matches no delivery")
