"""Values and their stored form: JSON as text, times, tags, and the rows of runs, activations and events.

Both adapters and the Core queries use the same functions. Rows are tuples in the order of the column lists named
here, which the statements are built from.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from shared.errors import InvalidInput
from shared.flows.model import Flow, from_json, to_json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EMPTY_OBJECT, _EMPTY_LIST = "{}", "[]"


def dumps(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON as text without a raw NUL or a lone surrogate. Raises InvalidInput for what JSON cannot hold."""
    if not value:
        return _EMPTY_OBJECT if isinstance(value, Mapping) else _EMPTY_LIST
    try:
        return _encoder.encode(value).decode()
    except (TypeError, ValueError):  # lone surrogates, keys that are no text
        return _dumps_slowly(value)


def _dumps_slowly(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | frozenset | set):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_encoder, _decoder = msgspec.json.Encoder(enc_hook=_plain), msgspec.json.Decoder()


def loads(text: str) -> Any:
    """What `dumps` wrote."""
    if text == _EMPTY_OBJECT:
        return {}
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:  # lone surrogates
        return json.loads(text)


def clean(text: str) -> str:
    """Text as every database takes it: no NUL, no lone surrogates. For words meant for people, not for keys."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def clean_or_none(text: str | None) -> str | None:
    return None if text is None else clean(text)


@lru_cache(maxsize=4096)
def tags_of(text: str) -> tuple[str, ...]:
    """A stored list of tags; the sets are few and come again and again."""
    return tuple(loads(text))


@lru_cache(maxsize=4096)
def tags_text(tags: tuple[str, ...]) -> str:
    return dumps(list(tags))


def flow_text(flow: Flow) -> str:
    return dumps(to_json(flow))


def flow_of(text: str) -> Flow:
    return from_json(loads(text))


def to_micros(at: datetime | None) -> int | None:
    """Microseconds since 1970, exact."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def from_micros(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=value)
