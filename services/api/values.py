"""Whether values from outside can become a message and fit what was asked. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.api.problems import TooLarge
from shared.errors import InvalidInput
from shared.flows import forms

DEEPEST = 64


def fitting(values: tuple[dict[str, Any], forms.FieldErrors], loc: str) -> dict[str, Any]:
    """What a form made of values. Raises InvalidInput that names each field."""
    clean, wrong = values
    if wrong:
        errors = [(f"{loc}.{field}", message) for field, message in wrong]
        raise InvalidInput("; ".join(f"{field}: {message}" for field, message in wrong), errors)
    return clean


def sendable(opts: Mapping[str, Any], loc: str, most_bytes: int) -> None:
    """Nothing, if it can become a message: not too deep, not too long, numbers that JSON readers agree on.

    Raises InvalidInput, or TooLarge.
    """
    if _depth(opts) > DEEPEST:
        raise wrong(loc, f"is nested deeper than {DEEPEST} levels")
    try:
        size = len(orjson.dumps(opts))
    except TypeError as error:
        raise wrong(loc, f"holds a value that cannot be sent: {error}") from error
    if size > most_bytes:
        raise TooLarge(f"{loc}: more than {most_bytes} bytes; hand large things over as files")


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, without recursion; stops looking below what is allowed."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for each in inner for item in each]
        depth += 1 if inner else 0
    return depth


def wrong(loc: str, msg: str) -> InvalidInput:
    """An error about one input."""
    return InvalidInput(f"{loc}: {msg}", [(loc, msg)])
