"""Checks of single options by their kind (schema.Option): each reports what would fail when the node runs."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.flows.expand import PLACEHOLDER, WrongOption, expand_workspace, has_placeholder, split_cmd
from shared.flows.forms import read_form
from shared.flows.opts import BadPeriod, parse_period, variable
from shared.flows.paths import inside
from shared.flows.problems import Report, quote
from shared.flows.schema import Option

SOMEWHERE = "/workspace"

Check = Callable[[str, Any, Option, int, Report], None]


def check_env(key: str, entries: Any, option: Option, line: int, report: Report) -> None:
    """Entries must be NAME=value, and no placeholder may make a name (FLOWS N-07)."""
    for entry in [entries] if isinstance(entries, str) else entries:
        name, equals, _ = entry.partition("=")
        found = PLACEHOLDER.search(name)
        if found and equals:
            refuse_placeholder(found, f"left of the `=` in {quote(entry)}", line, report)
        elif not equals or not name:
            report.problem(f"the entry {quote(entry)} of `{key}` is not NAME=value", line)


def refuse_placeholder(found: re.Match[str], where: str, line: int, report: Report) -> None:
    """Fatal: text from outside never becomes a command (FLOWS N-07)."""
    hint = f'"${variable(found[1])}"'
    report.fatal(f"`{found[0][:80]}` cannot stand {where}: text from outside never becomes a command", line, hint)


def _path(key: str, value: str, option: Option, line: int, report: Report) -> None:
    if has_placeholder(value):
        return
    try:
        inside(SOMEWHERE, expand_workspace(value, SOMEWHERE), key)
    except WrongOption as error:
        report.problem(str(error), line)


def _period(key: str, value: Any, option: Option, line: int, report: Report) -> None:
    if has_placeholder(value):
        return
    try:
        seconds = parse_period(value)
    except BadPeriod as error:
        report.problem(f"the option `{key}`: {error}", line)
        return
    if seconds < option.least:
        report.problem(f"the option `{key}` must be at least {option.least:g} s", line)


def _pattern(key: str, value: str, option: Option, line: int, report: Report) -> None:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        report.problem(f"the option `{key}` is no regular expression: {error}", line)


def _cron(key: str, value: str, option: Option, line: int, report: Report) -> None:
    why = wrong_cron(value)
    if why:
        report.problem(f"the option `{key}` is no cron expression: {why}", line)


def wrong_cron(expression: str) -> str | None:
    """What is wrong with a five-field cron expression (FLOWS T-04), None where nothing is."""
    fields = expression.split()
    if len(fields) != 5:
        return f"it has {len(fields)} fields, not the five of minute, hour, day, month, weekday"
    try:
        CronSim(expression, datetime(2024, 1, 1))
    except CronSimError as error:
        return str(error)[:1].lower() + str(error)[1:]
    except (ValueError, OverflowError):
        return "it holds a number that is none"
    return None


def _timezone(key: str, value: str, option: Option, line: int, report: Report) -> None:
    if not is_timezone(value):
        report.problem(f"the option `{key}`: there is no time zone {quote(value)}", line)


def is_timezone(name: str) -> bool:
    """Whether the machine knows a time zone of that name."""
    try:
        return name == "UTC" or bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _choice(key: str, value: Any, option: Option, line: int, report: Report) -> None:
    for word in [value] if isinstance(value, str) else value:
        if word.lower() not in option.choices and not has_placeholder(word):
            known = ", ".join(option.choices)
            hint = report.suggest(word, option.choices)
            report.problem(f"the option `{key}` cannot be {quote(word)}; it is one of {known}", line, hint)


def _form(key: str, value: Any, option: Option, line: int, report: Report) -> None:
    for wrong in read_form(value)[1]:
        report.problem(wrong, line)


def check_command(key: str, text: str, line: int, report: Report) -> None:
    """`cmd` and `shell`: no placeholder in either, and what a `cmd` can be split into (FLOWS §6 exec, N-07)."""
    found = PLACEHOLDER.search(text)
    if found:
        refuse_placeholder(found, f"in `{key}`", line, report)
        return
    if key == "cmd":
        try:
            split_cmd(text)
        except WrongOption as error:
            report.problem(str(error), line)


CHECKS: dict[str, Check] = {
    "env": check_env,
    "path": _path,
    "period": _period,
    "pattern": _pattern,
    "cron": _cron,
    "timezone": _timezone,
    "choice": _choice,
    "choices": _choice,
    "form": _form,
}
