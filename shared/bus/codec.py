"""How messages look on the wire. Pure: bytes in, values out; who sends them where is the adapters' affair.

One body carries a batch for one destination: `{"v":1,"messages":[…]}`, each message tagged with its `type`. Output is
the exception (ARCHITECTURE §5): one chunk a body, a JSON header line and then the raw bytes. Unknown fields are
ignored. What cannot be read becomes a DeadLetter and costs its neighbours nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Union

import msgspec

from shared.bus import messages as m
from shared.errors import InvalidInput

VERSION = 1
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CHUNK_BYTES = 256 * 1024
JSON_TYPE, CHUNK_TYPE = "application/json", "application/vnd.floe.output"

_DEAD_TEXT_CHARACTERS = 64 * 1024
_CHUNK_START = b'{"type":"OutputChunk"'
_HEAD, _TAIL = b'{"v":1,"messages":[', b"]}"
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


def _leaves(kind: type[m.Message]) -> list[type[m.Message]]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in _leaves(each)] if below else [kind]


if TYPE_CHECKING:
    AnyMessage = m.Message
else:
    AnyMessage = Union[tuple(_leaves(m.Message))]  # noqa: UP007 - made of what the module defines


class _Batch(msgspec.Struct):
    v: int
    messages: list[AnyMessage]


class _Envelope(msgspec.Struct):
    v: int
    messages: list[msgspec.Raw]


class _ChunkHeader(msgspec.Struct, frozen=True, tag="OutputChunk"):
    id: str
    at: datetime
    run: str
    n: int
    epoch: int
    host: str
    offset: int
    size: int
    trace: str = ""


_CHUNK_FIELDS = tuple(name for name in _ChunkHeader.__struct_fields__ if name != "size")

_encoder = msgspec.json.Encoder()
_batch = msgspec.json.Decoder(_Batch)
_envelope = msgspec.json.Decoder(_Envelope)
_single: msgspec.json.Decoder[m.Message] = msgspec.json.Decoder(AnyMessage)
_chunk_header = msgspec.json.Decoder(_ChunkHeader)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One message in bytes. `alone`: it is a whole body; others are joined by `join`."""

    id: str
    data: bytes
    alone: bool


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a body held, in order, and what of it could not be read."""

    messages: list[m.Message] = field(default_factory=list)
    dead: list[m.DeadLetter] = field(default_factory=list)


def encode(message: m.Message) -> Encoded:
    """One message. Raises InvalidInput, naming its id, when it has no JSON form or does not fit into a body."""
    try:
        data = _encode_chunk(message) if isinstance(message, m.OutputChunk) else _encoder.encode(message)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"message {message.id} cannot be sent: {error}") from error
    if len(data) + len(_HEAD) + len(_TAIL) > MAX_BODY_BYTES:
        raise InvalidInput(f"message {message.id} has {len(data)} bytes; {MAX_BODY_BYTES} are the most")
    return Encoded(message.id, data, alone=isinstance(message, m.OutputChunk))


def join(parts: Sequence[Encoded]) -> bytes:
    """The body that carries these: one that goes alone, or any number of others. The caller minds the size."""
    if len(parts) == 1 and parts[0].alone:
        return parts[0].data
    return _HEAD + b",".join([part.data for part in parts]) + _TAIL


def decode(body: bytes, *, queue: str, at: datetime) -> Decoded:
    """Everything that can be read of a body that came from `queue`. Never raises, whatever the bytes."""
    try:
        return _read(body, queue, at)
    except _UNREADABLE as error:
        return Decoded(dead=[dead_letter(body, queue=queue, at=at, reason=f"cannot be read: {error}")])


def dead_letter(body: bytes, *, queue: str, at: datetime, reason: str) -> m.DeadLetter:
    """What `body` becomes when nobody can handle it. The id follows from the bytes: a copy is the same letter."""
    name = hashlib.sha256(body).hexdigest()[:32]
    text = body[: 4 * _DEAD_TEXT_CHARACTERS].decode("utf-8", "replace")[:_DEAD_TEXT_CHARACTERS]
    return m.DeadLetter(id=f"dead/{name}", at=at, queue=queue, reason=reason, body=text)


def _read(body: bytes, queue: str, at: datetime) -> Decoded:
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"{len(body)} bytes, {MAX_BODY_BYTES} are the most")
    if body.startswith(_CHUNK_START):
        return Decoded([_read_chunk(body)])
    try:
        batch = _batch.decode(body)
    except msgspec.ValidationError:
        return _read_one_by_one(body, queue, at)
    _check_version(batch.v)
    return Decoded(batch.messages)


def _read_one_by_one(body: bytes, queue: str, at: datetime) -> Decoded:
    envelope = _envelope.decode(body)
    _check_version(envelope.v)
    decoded = Decoded()
    for raw in envelope.messages:
        try:
            decoded.messages.append(_single.decode(raw))
        except _UNREADABLE as error:
            reason = f"cannot be read: {error}"
            decoded.dead.append(dead_letter(bytes(raw), queue=queue, at=at, reason=reason))
    return decoded


def _check_version(version: int) -> None:
    if version != VERSION:
        raise ValueError(f"version {version} is not known here, only {VERSION}")


def _encode_chunk(chunk: m.OutputChunk) -> bytes:
    if len(chunk.data) > MAX_CHUNK_BYTES:
        raise ValueError(f"{len(chunk.data)} bytes of output in one chunk, {MAX_CHUNK_BYTES} are the most")
    shared = {name: getattr(chunk, name) for name in _CHUNK_FIELDS}
    header = _ChunkHeader(**shared, size=len(chunk.data))
    return _encoder.encode(header) + b"\n" + chunk.data


def _read_chunk(body: bytes) -> m.OutputChunk:
    line, _, data = body.partition(b"\n")
    header = _chunk_header.decode(line)
    if len(data) != header.size or header.size > MAX_CHUNK_BYTES:
        raise ValueError(f"an output chunk of {header.size} bytes came with {len(data)}")
    return m.OutputChunk(**{name: getattr(header, name) for name in _CHUNK_FIELDS}, data=data)
