"""Messages to send: one of each type by hand where a test needs it, and hypothesis strategies for all of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from shared.bus import messages as m
from shared.bus.codec import MAX_CHUNK_BYTES

AT = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)


def trigger(number: int | str, **fields: Any) -> m.TriggerReceived:
    return m.TriggerReceived(id=f"t{number}", at=AT, trigger_type="manual", **fields)


def cancel(number: int) -> m.CancelRequested:
    return m.CancelRequested(id=f"c{number}", at=AT, run=f"h1-{number}")


def finished(number: int, host: str = "a1") -> m.FinishedReport:
    return m.FinishedReport(id=f"h1-{number}/1/finished", at=AT, run=f"h1-{number}", n=1, epoch=1, host=host, status=0)


def chunk(offset: int, data: bytes, host: str = "a1") -> m.OutputChunk:
    return m.OutputChunk(id=f"h1-1/1/{offset}", at=AT, run="h1-1", n=1, epoch=1, host=host, offset=offset, data=data)


def pend(number: int) -> m.PendAdded:
    return m.PendAdded(id=f"p{number}", at=AT, run=f"h1-{number}")


def beat(number: int, host: str = "a1") -> m.Beat:
    return m.Beat(id=f"b{number}", at=AT, host=host, installation="i", incarnation="j", number=number, sent_ms=number)


def stop(number: int, host: str) -> m.StopRequested:
    return m.StopRequested(id=f"s{number}", at=AT, run=f"h1-{number}", n=1, epoch=1, host=host)


def grew(number: int) -> m.LogGrew:
    return m.LogGrew(id=f"g{number}", at=AT, run="h1-1", n=1, length=number)


_text = st.text(max_size=12)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_opts = st.dictionaries(_text, _json, max_size=3)
_by_field: dict[str, st.SearchStrategy[Any]] = {
    "host": st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True),
    "lost_after_seconds": st.floats(0, 1e6),
    "at": st.datetimes(timezones=st.just(UTC)),
    "opts": _opts,
    "values": _opts,
    "definition": _opts,
    "events": st.lists(_opts, max_size=2),
    "reports": st.lists(st.tuples(_text, _text, st.integers(0, 99)), max_size=3),
    "offsets": st.lists(st.tuples(_text, st.integers(0, 99), st.integers(0, 2**53)), max_size=3),
    "data": st.binary(max_size=300),
}


def leaves(kind: type[m.Message] = m.Message) -> list[type[m.Message]]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in leaves(each)] if below else [kind]


def any_of(kind: type[m.Message]) -> st.SearchStrategy[m.Message]:
    """Any message of that type; collections as JSON gives them back (lists)."""
    hints = get_type_hints(kind)
    known = {name: _by_field.get(name, _list_of(hints[name])) for name in kind.__struct_fields__}
    return st.builds(kind, **{name: strategy for name, strategy in known.items() if strategy is not None})


def _list_of(hint: Any) -> st.SearchStrategy[Any] | None:
    is_list = get_origin(hint) is Sequence and get_args(hint)[0] is str
    return st.lists(_text, max_size=3) if is_list else None


any_message = st.one_of([any_of(kind) for kind in leaves()])
any_batched = st.one_of([any_of(kind) for kind in leaves() if kind is not m.OutputChunk])
TOO_MUCH_OUTPUT = b"x" * (MAX_CHUNK_BYTES + 1)
