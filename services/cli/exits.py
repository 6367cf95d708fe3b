"""What a command ends with: the one place where errors become exit codes and lines for people (API.md)."""

from typing import NoReturn

import click

from services.cli.printable import printable
from shared.errors import ConfigurationError, Conflict, FloeError, InvalidInput, NotAllowed, NotFound, Unavailable

GOOD, BAD, USAGE, CANCELLED, NOT_ALLOWED, NOT_FOUND, CONFLICT, UNREACHABLE = 0, 1, 2, 3, 4, 5, 6, 8
TIMED_OUT, INTERRUPTED = 124, 130
_LONGEST = 2000

_CODES: tuple[tuple[type[FloeError], int], ...] = (
    (ConfigurationError, USAGE),
    (InvalidInput, USAGE),
    (NotAllowed, NOT_ALLOWED),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (Unavailable, UNREACHABLE),
)
OUTCOMES = {"good": GOOD, "bad": BAD, "cancelled": CANCELLED}


class TimedOut(FloeError):
    """A run did not end in the time that was given (exit 124); it goes on."""


def code_of(error: FloeError) -> int:
    """The exit code of an error; 1 for what has none of its own."""
    if isinstance(error, TimedOut):
        return TIMED_OUT
    return next((code for kind, code in _CODES if isinstance(error, kind)), BAD)


def in_one_line(error: BaseException) -> str:
    """The error's text on one line, without the control bytes that a server may send, and the field it is about."""
    text = str(error)
    if isinstance(error, InvalidInput) and error.errors:
        more = [f"{loc}: {msg}" if loc else msg for loc, msg in error.errors if msg not in text]
        text = f"{text.rstrip('.')}: {'; '.join(more)}" if more else text
    return " ".join(printable(text).split())[:_LONGEST] or type(error).__name__


def leave(code: int) -> NoReturn:
    """End the command with an exit code."""
    raise click.exceptions.Exit(code)
