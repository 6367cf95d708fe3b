"""The arguments that queues are declared with: they can never be changed, so a change must be seen here first."""

import pytest

from shared.bus import port
from shared.bus.rabbitmq_topology import LOGS_MAX_BYTES, arguments

QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000, "x-dead-letter-exchange": "floe.dead"}


@pytest.mark.parametrize(
    ("queue", "wanted"),
    [
        (port.TRIGGERS, QUORUM),
        (port.CONTROL, QUORUM),
        (port.REPORTS, QUORUM),
        (port.LOGS, QUORUM | {"x-max-length-bytes": 256 * 1024 * 1024, "x-overflow": "reject-publish"}),
        (port.DEAD, {"x-queue-type": "quorum"}),
        (port.HUB_HINTS, {"x-message-ttl": 60_000, "x-max-length": 100_000}),
        (port.DISPATCHER, {"x-message-ttl": 60_000, "x-max-length": 100_000}),
        (port.agent_queue("a1"), {"x-message-ttl": 10_000, "x-expires": 86_400_000, "x-max-length": 10_000}),
    ],
    ids=lambda value: value.name if isinstance(value, port.Queue) else "",
)
def test_a_queue_is_declared_with_these_arguments(queue: port.Queue, wanted: dict[str, object]) -> None:
    assert arguments(queue, LOGS_MAX_BYTES) == wanted
