"""Log lines: one form for people, one for programs, none with a secret."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.errors import NotFound
from shared.observability import configure_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[str]:
    """What was logged, without the time in front."""
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_a_line_is_an_event_and_its_keys() -> None:
    stream = io.StringIO()
    configure_logs("text", "info", stream)
    log = structlog.get_logger()
    log.info("run.adopted", run="h1-4", flow="build")
    log.warning("host.away", why='no "beat"\nfor long', empty="")
    log.debug("too.quiet")
    assert lines(stream) == [
        "run.adopted run=h1-4 flow=build",
        r'WARNING host.away why="no \"beat\"\nfor long" empty=""',
    ]


def test_json_lines_hold_the_same() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    structlog.get_logger().info("run.adopted", run="h1-4", n=3)
    found = json.loads(stream.getvalue())
    assert found.pop("at")
    assert found == {"level": "info", "event": "run.adopted", "run": "h1-4", "n": 3}


def test_our_own_errors_are_named_and_others_keep_their_trace() -> None:
    stream = io.StringIO()
    configure_logs("text", "info", stream)
    log = structlog.get_logger()
    log.error("flow.failed", exc_info=NotFound("there is no flow x"))
    assert lines(stream) == ['ERROR flow.failed error="there is no flow x"']
    try:
        raise LookupError("a bug")
    except LookupError:
        log.exception("loop.failed")
    assert "LookupError: a bug" in stream.getvalue()


def test_secrets_are_starred_out() -> None:
    stream = io.StringIO()
    configure_logs("text", "info", stream, hide=["t0ken-of-admin", "amqp://floe:p%40ssword@h/"])
    structlog.get_logger().error("oops", what="t0ken-of-admin", url="amqp://floe:p@ssword@h/")
    assert lines(stream) == ["ERROR oops what=*** url=amqp://floe:***@h/"]


def test_libraries_speak_through_us() -> None:
    stream = io.StringIO()
    configure_logs("text", "info", stream)
    logging.getLogger("some.library").warning("it is %s", "late")
    logging.getLogger("some.library").info("chatter")
    assert lines(stream) == ['WARNING library.some.library text="it is late"']
