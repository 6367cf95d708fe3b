"""How answers look: tables for people, JSON and YAML for programs. Data goes to stdout."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import click

from services.cli.printable import printable

Output = Literal["table", "json", "yaml"]
_COLOURS = {
    "good": "green",
    "bad": "red",
    "error": "red",
    "lost": "red",
    "cancelled": "yellow",
    "away": "yellow",
    "fatal": "red",
    "problem": "yellow",
    "active": "cyan",
    "running": "cyan",
    "waiting": "magenta",
}


def colourful(err: bool = False) -> bool:
    """Whether to colour: a terminal, and no NO_COLOR."""
    return not os.environ.get("NO_COLOR") and (sys.stderr if err else sys.stdout).isatty()


def say(text: str) -> None:
    """A line of progress or advice, on stderr."""
    click.echo(text, err=True, color=colourful(err=True))


def out(text: str) -> None:
    """A line of data, on stdout."""
    click.echo(text, color=colourful())


def show(data: Any, output: Output, table: Callable[[], str]) -> None:
    """Print the data in the form asked for."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        text = table()
        if text:
            out(text)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], nothing: str = "") -> str:
    """Columns under headings; cut to the terminal's width, never when piped. Without rows: `nothing`, on stderr."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        if nothing:
            say(nothing)
        return ""
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = [_line(headings, widths, limit, heading=True), *(_line(row, widths, limit) for row in cells)]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int], limit: int | None, heading: bool = False) -> str:
    parts, used = [], 0
    for text, width in zip(row, widths, strict=True):
        room = width if limit is None else min(width, max(0, limit - used))
        shown = text if len(text) <= room else text[: max(0, room - 1)] + "…" if room else ""
        pad = " " * (width - len(shown))
        parts.append((click.style(shown, dim=True) if heading else coloured(shown)) + pad)
        used += width + 2
    return "  ".join(parts).rstrip()


def coloured(word: str) -> str:
    """A status or outcome in its colour, anything else as it is."""
    return click.style(word, fg=_COLOURS[word]) if word in _COLOURS else word


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return _cell(",".join(map(str, value)))
    return " ".join(printable(str(value)).split()) or "-"


def parse_time(text: object) -> datetime | None:
    """A time of the api."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def local_time(text: object) -> str:
    """When, in this machine's zone: the time of day, with the date when it was not today."""
    at = parse_time(text)
    if at is None:
        return "-"
    here = at.astimezone()
    same_day = here.date() == datetime.now().astimezone().date()
    return here.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def took(start: object, end: object) -> str:
    """How long from one time to another, or until now."""
    begin, finish = parse_time(start), parse_time(end)
    if begin is None:
        return "-"
    return duration(((finish or datetime.now(UTC)) - begin).total_seconds())


def duration(seconds: float) -> str:
    """`0.3 s`, `42 s`, `3m 05s`, `2h 04m`."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"
