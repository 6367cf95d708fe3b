"""Lists by key: `{items, next}`, where `next` is the cursor of what follows (API.md)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from shared.errors import InvalidInput

T = TypeVar("T")
MOST = 500

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many items at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]


def page(rows: Sequence[T], limit: int, key: Callable[[T], object], show: Callable[[T], Any]) -> dict[str, Any]:
    """A page out of up to `limit + 1` rows: the one too many says that there is more."""
    shown = rows[:limit]
    following = to_cursor(str(key(shown[-1]))) if len(rows) > limit else None
    return {"items": [show(row) for row in shown], "next": following}


def to_cursor(key: str) -> str:
    """A key as clients carry it: opaque, fit for a url."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def from_cursor(cursor: str | None) -> str | None:
    """The key in a cursor. Raises InvalidInput for a text that no list gave out."""
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise unknown_cursor() from error


def number_from_cursor(cursor: str | None) -> int | None:
    """The number in the cursor of a list that goes by numbers. Raises InvalidInput."""
    key = from_cursor(cursor)
    if key is None:
        return None
    if not key.isdecimal() or len(key) > 18:
        raise unknown_cursor()
    return int(key)


def unknown_cursor() -> InvalidInput:
    """The error about a cursor that no list gave out."""
    return InvalidInput("cursor: it is not one that this list gave out", [("cursor", "take it from `next`")])
