"""Whether values from outside can become a message and fit what was asked. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

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
    if refused := _refused(opts):
        raise wrong(loc, refused)
    try:
        size = len(msgspec.json.encode(opts))
    except (TypeError, ValueError) as error:
        raise wrong(loc, f"holds a value that cannot be sent: {error}") from error
    if size > most_bytes:
        raise TooLarge(f"{loc}: more than {most_bytes} bytes; hand large things over as files")


def _refused(value: Any) -> str:
    """What in it not every JSON reader takes, or nothing. Without recursion, however deep it is."""
    level = [value]
    for _ in range(DEEPEST + 1):
        if any(isinstance(each, int) and not -(2**63) <= each < 2**64 for each in level):
            return "holds a whole number of more than 64 bits"
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not inner:
            return ""
        level = [item for each in inner for item in each]
    return f"is nested deeper than {DEEPEST} levels"


def wrong(loc: str, msg: str) -> InvalidInput:
    """An error about one input."""
    return InvalidInput(f"{loc}: {msg}", [(loc, msg)])
