"""What services say in their logs during a world: what no fault explains is a violation, the rest is not heard."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

UNEXPECTED = frozenset(
    {
        "agent.end_failed",
        "agent.plan_failed",
        "agent.task_failed",
        "dispatcher.placing_failed",
        "dispatcher.presence_failed",
        "hub.batch_failed",
        "hub.hints_lost",
        "hub.loop_failed",
        "hub.poison",
    }
)


@contextmanager
def said_errors(found: list[str]) -> Iterator[None]:
    """Collect the unexpected ones as text."""

    def hear(_: Any, __: str, event: Any) -> Any:
        if event.get("event") in UNEXPECTED:
            found.append(_text(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear], wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        yield
    finally:
        structlog.configure(**before)


def _text(event: Any) -> str:
    import sys

    failed = event.pop("exc_info", None)
    error = sys.exc_info()[1] if failed is True else failed
    name = event.pop("event")
    rest = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{name} {rest} {error!r}".strip()
