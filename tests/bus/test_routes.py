"""Every message has one way, and every way one queue (ARCHITECTURE §5)."""

import pytest
from hypothesis import given

from shared.bus import messages as m
from shared.bus import port
from shared.bus.routes import Route, queue_of, route
from tests.bus import examples as ex


@given(ex.any_message)
def test_every_message_has_a_queue_of_its_class(message: m.Message) -> None:
    way = route(message)
    assert queue_of(way).kept == way.kept


def test_the_table_of_the_design_holds() -> None:
    queues = {
        type(message): queue_of(route(message))
        for message in (
            ex.trigger(1),
            ex.cancel(1),
            ex.finished(1),
            ex.chunk(0, b""),
            ex.pend(1),
            ex.beat(1),
            ex.grew(1),
        )
    }
    assert queues == {
        m.TriggerReceived: port.TRIGGERS,
        m.CancelRequested: port.CONTROL,
        m.FinishedReport: port.REPORTS,
        m.OutputChunk: port.LOGS,
        m.PendAdded: port.DISPATCHER,
        m.Beat: port.BEATS,
        m.LogGrew: port.LIVE,
    }
    assert queue_of(route(ex.stop(1, "a7"))) == port.agent_queue("a7")


def test_an_unbound_key_has_no_queue() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        queue_of(Route("floe.in", "nowhere", kept=True))
