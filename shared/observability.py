"""What floe says while it runs: structlog, set up once per process by the composition root. Lines go to stderr.

An event's name is dotted and past tense (`run.adopted`), everything else is a key: `run.adopted run=h1-4 flow=build`.
"""

import json
import logging
import sys
from collections.abc import Collection, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO
from urllib.parse import unquote, urlsplit

import structlog

_LOUD = ("aio_pika", "aiormq", "asyncio", "sqlalchemy", "uvicorn", "uvicorn.access")
_SHORTEST_SECRET = 6
_SHORT_TIME, _LONG_TIME = "%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ"


def configure_logs(
    form: Literal["text", "json"], level: str, stream: TextIO | None = None, hide: Collection[str] = ()
) -> None:
    """Set up every logger of the process, those of libraries too. Calling it again replaces the former set-up.

    `hide`: values that no line may hold; of a url its password.
    """
    out = stream or sys.stderr
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _error_in_a_line if form == "text" else structlog.processors.format_exc_info,
            _Masked(hide),
            _as_json if form == "json" else _TextLines(short=out.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _adopt_library_logs(number)


class _Masked:
    """A net below everybody's care: secrets that got into a line after all are starred out."""

    def __init__(self, secrets: Collection[str]) -> None:
        passwords = [unquote(urlsplit(each).password or "") if "://" in each else each for each in secrets]
        self._secrets = [each for each in passwords if len(each) >= _SHORTEST_SECRET]

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for secret in self._secrets:
            for key, value in event.items():
                if isinstance(value, str) and secret in value:
                    event[key] = value.replace(secret, "***")
        return event


class _TextLines:
    """`TIME EVENT key=value`; the level is said where it is not info."""

    def __init__(self, *, short: bool) -> None:
        self._time = _SHORT_TIME if short else _LONG_TIME
        self._utc = not short

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        now = datetime.now(UTC) if self._utc else datetime.now().astimezone()
        level, name, trace = event.pop("level", "info"), event.pop("event", ""), event.pop("exception", "")
        parts = [now.strftime(self._time)]
        parts += [] if level == "info" else [level.upper()]
        parts += [str(name), *(f"{key}={_value(value)}" for key, value in event.items())]
        return " ".join(parts) + (f"\n{trace}" if trace else "")


def _value(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _as_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    line = {"at": datetime.now(UTC).strftime(_LONG_TIME), **event}
    return json.dumps(line, default=str)


def _error_in_a_line(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:  # structlog's own signature
    """An error that is ours is named in one key; any other keeps its trace, for whoever has to find out why."""
    from shared.errors import FloeError

    held = event.get("exc_info")
    error = held if isinstance(held, BaseException) else sys.exc_info()[1] if held else None
    if isinstance(error, FloeError):
        event.pop("exc_info")
        event["error"] = str(error)
        return event
    return dict(structlog.processors.format_exc_info(logger, method, event))


class _Forward(logging.Handler):
    """Library log records become events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        error = record.exc_info[1] if record.exc_info else None
        keys: dict[str, Any] = {"text": record.getMessage()}
        if error is not None:
            keys["error"] = f"{type(error).__name__}: {error}"
        log.log(record.levelno, f"library.{record.name}", **keys)


def _adopt_library_logs(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(max(level, logging.WARNING))
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR if level > logging.DEBUG else logging.INFO)
