"""What only a broker can do to us: poison, foreign queues, lost channels, users who may do little."""

import asyncio
from collections.abc import AsyncIterator

import aiormq
import pytest
from aiormq.abc import AbstractChannel

from shared.bus import messages as m
from shared.bus import port, rabbitmq_topology
from shared.bus.codec import Encoded, encode, join
from shared.bus.port import BusUnavailable
from shared.bus.rabbitmq import RabbitBus
from shared.bus.rabbitmq_topology import LOGS_MAX_BYTES, arguments
from shared.errors import InvalidInput
from tests.bus import examples as ex
from tests.bus.collector import Collector
from tests.bus.conftest import Rabbit, user_url
from tests.servers.choose import AnyRabbit, GivenRabbit
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def raw(fresh_vhost: str, rabbit_bus: RabbitBus) -> AsyncIterator[AbstractChannel]:
    """A channel of nobody's, to do what we never would."""
    async with aiormq.connect(fresh_vhost) as connection:
        yield await connection.channel()


async def dead_letters(bus: RabbitBus, count: int) -> list[m.DeadLetter]:
    got = Collector()
    await bus.subscribe(port.DEAD, got)
    await wait_until(lambda: len(got.messages) == count)
    return [message for message in got.messages if isinstance(message, m.DeadLetter)]


@pytest.mark.parametrize(
    "body",
    [b"\xff\x00", b'{"v":1,"messages":[{"type":"Pend', b'{"v":2,"messages":[]}', b" " * 20_000_000],
    ids=["no text", "cut", "another version", "20 MB"],
)
async def test_poison_becomes_a_dead_letter_and_the_next_message_is_handled(
    rabbit_bus: RabbitBus, raw: AbstractChannel, body: bytes
) -> None:
    got = Collector()
    await rabbit_bus.subscribe(port.CONTROL, got)
    await raw.basic_publish(body, exchange="floe.in", routing_key="control.run")
    await rabbit_bus.publish([ex.cancel(1)])
    await wait_until(lambda: got.ids == ["c1"])
    (letter,) = await dead_letters(rabbit_bus, 1)
    assert (letter.queue, letter.body) == ("floe.control", body.decode("utf-8", "replace")[: 64 * 1024])


async def test_a_bad_message_in_a_batch_costs_its_neighbours_nothing(
    rabbit_bus: RabbitBus, raw: AbstractChannel
) -> None:
    got = Collector()
    await rabbit_bus.subscribe(port.CONTROL, got)
    bad = Encoded("x", b'{"type":"Unheard"}', alone=False)
    body = join([encode(ex.cancel(1)), bad, encode(ex.cancel(2))])
    await raw.basic_publish(body, exchange="floe.in", routing_key="control.run")
    await wait_until(lambda: got.ids == ["c1", "c2"])
    (letter,) = await dead_letters(rabbit_bus, 1)
    assert "Unheard" in letter.reason


async def test_a_message_that_came_by_the_way_of_another_host_is_a_dead_letter(
    rabbit_bus: RabbitBus, raw: AbstractChannel
) -> None:
    got = Collector()
    await rabbit_bus.subscribe(port.REPORTS, got)
    forged = join([encode(ex.finished(1, host="a2")), encode(ex.finished(2, host="a1")), encode(ex.cancel(3))])
    await raw.basic_publish(forged, exchange="floe.agents", routing_key="agent.a1.task")
    await wait_until(lambda: got.ids == ["h1-2/1/finished"])
    (letter,) = await dead_letters(rabbit_bus, 1)
    assert "agent.a1.task" in letter.reason


async def test_what_the_broker_itself_gives_up_names_its_queue(rabbit_bus: RabbitBus, raw: AbstractChannel) -> None:
    await rabbit_bus.publish([ex.cancel(1)])
    delivered = await raw.basic_get("floe.control")
    await raw.basic_nack(delivered.delivery_tag or 0, requeue=False)
    (letter,) = await dead_letters(rabbit_bus, 1)
    assert letter.queue == "floe.control"
    assert '"c1"' in letter.body


async def test_a_batch_larger_than_the_handler_asked_for_is_handled_in_parts_and_acknowledged_once(
    rabbit_bus: RabbitBus,
) -> None:
    await rabbit_bus.publish([ex.cancel(n) for n in range(100)])
    got = Collector()
    subscription = await rabbit_bus.subscribe(port.CONTROL, got, batch=30)
    await wait_until(lambda: [len(batch) for batch in got.batches] == [30, 30, 30, 10])
    await subscription.stop()
    assert (await rabbit_bus.queue_depths())["floe.control"] == 0


async def test_one_acknowledgement_covers_every_body_of_a_batch(rabbit_bus: RabbitBus) -> None:
    for n in range(20):
        await rabbit_bus.publish([ex.cancel(n)])
    got, heir = Collector(), Collector()
    got.gate.clear()
    subscription = await rabbit_bus.subscribe(port.CONTROL, got, batch=10)
    await wait_until(lambda: got.running)
    await wait_until(lambda: all_delivered(rabbit_bus))
    got.gate.set()
    await wait_until(lambda: got.ids == [f"c{n}" for n in range(20)])
    assert max(map(len, got.batches)) > 1
    await subscription.stop()
    await rabbit_bus.subscribe(port.CONTROL, heir)
    for n in range(100, 150):
        await rabbit_bus.publish([ex.cancel(n)])
    await wait_until(lambda: "c149" in heir.ids)
    assert heir.ids == [f"c{n}" for n in range(100, 150)]


async def all_delivered(bus: RabbitBus) -> bool:
    return (await bus.queue_depths())["floe.control"] == 0


async def test_what_a_stopped_consumer_did_not_handle_is_delivered_to_the_next(rabbit_bus: RabbitBus) -> None:
    failing = Collector(fail=lambda _: True)
    subscription = await rabbit_bus.subscribe(port.CONTROL, failing)
    await rabbit_bus.publish([ex.cancel(1)])
    await wait_until(lambda: failing.tried)
    await subscription.stop()
    heir = Collector()
    await rabbit_bus.subscribe(port.CONTROL, heir)
    await wait_until(lambda: heir.ids == ["c1"])


async def test_a_handler_that_outlives_its_channel_acknowledges_nothing_of_the_next(
    rabbit_bus: RabbitBus, rabbit: Rabbit
) -> None:
    got = Collector()
    got.gate.clear()
    subscription = await rabbit_bus.subscribe(port.CONTROL, got, batch=1)
    await rabbit_bus.publish([ex.cancel(1)])
    await wait_until(lambda: got.running)
    await asyncio.to_thread(rabbit.close_connections)
    await rabbit_bus.publish([ex.cancel(2)])
    got.gate.set()
    await wait_until(lambda: {"c1", "c2"} <= set(got.ids) and len(got.ids) == 3, what="c1 again and c2")
    await subscription.stop()
    assert set((await rabbit_bus.queue_depths()).values()) == {0}


async def test_deleted_queues_are_made_again_and_consumed_again(rabbit_bus: RabbitBus, raw: AbstractChannel) -> None:
    got = Collector()
    await rabbit_bus.subscribe(port.TRIGGERS, got)
    for queue in ("floe.triggers", "floe.control"):
        await raw.queue_delete(queue)
    await rabbit_bus.publish([ex.trigger(1), ex.cancel(1)])
    await wait_until(lambda: got.ids == ["t1"])
    assert (await rabbit_bus.queue_depths())["floe.control"] == 1


async def test_a_consumer_that_the_broker_forgot_signs_on_anew(fresh_vhost: str, raw: AbstractChannel) -> None:
    bus = RabbitBus(fresh_vhost, name="test", renew_seconds=0.3)
    await bus.start()
    got = Collector()
    await bus.subscribe(port.TRIGGERS, got)
    await raw.queue_delete("floe.triggers")
    await raw.queue_declare("floe.triggers", durable=True, arguments=arguments(port.TRIGGERS, LOGS_MAX_BYTES))
    await raw.queue_bind("floe.triggers", "floe.in", "trigger.#")
    await bus.publish([ex.trigger(1)])
    await wait_until(lambda: got.ids == ["t1"])
    await bus.close()


async def test_copies_that_could_not_be_bound_do_not_stay(
    rabbit: AnyRabbit | GivenRabbit,
    fresh_vhost: str,
    rabbit_bus: RabbitBus,
    raw: AbstractChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbitmq_topology, "_COPY_UNUSED_MS", 200)
    name = fresh_vhost.rpartition("/")[2]
    await raw.exchange_delete("floe.live")
    subscribing = asyncio.create_task(rabbit_bus.subscribe(port.LIVE, Collector()))
    known = f'[binary_to_list(N) || [{{name, {{_, _, _, N}}}}] <- rabbit_amqqueue:info_all(<<"{name}">>, [name])].'

    async def copies() -> bool:
        return "floe.live." in await asyncio.to_thread(rabbit.evaluate, known)

    await wait_until(copies)

    async def none_left() -> bool:
        return not await copies()

    await wait_until(none_left)
    await raw.exchange_declare("floe.live", exchange_type="topic", durable=True)
    await subscribing


async def test_an_agents_deleted_queue_is_made_again_by_who_declared_it(
    rabbit_bus: RabbitBus, raw: AbstractChannel
) -> None:
    await rabbit_bus.declare_agent("a1")
    await raw.queue_delete("floe.agent.a1")
    got = Collector()

    async def arrives() -> bool:
        await rabbit_bus.publish([ex.stop(1, "a1")])
        return (await raw.basic_get("floe.agent.a1")).delivery_tag is not None if await exists(raw) else False

    await wait_until(arrives)
    await rabbit_bus.subscribe(port.agent_queue("a1"), got)


async def exists(raw: AbstractChannel) -> bool:
    try:
        channel = await raw.connection.channel()
        await channel.queue_declare("floe.agent.a1", passive=True)
    except aiormq.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def test_a_full_log_queue_refuses_and_says_so(fresh_vhost: str) -> None:
    bus = RabbitBus(fresh_vhost, name="test", logs_max_bytes=100_000)
    await bus.start()
    with pytest.raises(BusUnavailable, match="full"):
        await bus.publish([ex.chunk(n, b"x" * 10_000) for n in range(100)])
    await bus.publish([ex.finished(1)])
    await bus.close()


async def test_a_queue_with_other_arguments_is_used_as_it_is(fresh_vhost: str, rabbit_bus: RabbitBus) -> None:
    other = RabbitBus(fresh_vhost, name="other", logs_max_bytes=1_000_000)
    await other.start()
    got = Collector()
    await other.subscribe(port.LOGS, got)
    await other.publish([ex.chunk(0, b"x")])
    await wait_until(lambda: len(got.ids) == 1)
    await other.close()


async def test_an_agents_user_needs_no_more_than_the_design_grants(
    fresh_vhost: str, rabbit: Rabbit, rabbit_bus: RabbitBus
) -> None:
    vhost = fresh_vhost.rpartition("/")[2]
    confine(rabbit, "a1", vhost)
    agent = RabbitBus(
        user_url(fresh_vhost, "a1", "pw"), name="a1", declare=False, user_id=True, publish_timeout_seconds=3
    )
    await agent.start()
    beats, reports, hints = Collector(), Collector(), Collector()
    await rabbit_bus.subscribe(port.BEATS, beats)
    await rabbit_bus.subscribe(port.REPORTS, reports)
    await agent.subscribe(port.agent_queue("a1"), hints)
    await agent.publish([ex.beat(1), ex.finished(1)])
    await wait_until(lambda: beats.ids and reports.ids)
    await rabbit_bus.declare_agent("a1")
    await wait_until(lambda: published_and(rabbit_bus, hints), what="the agent found its queue")
    with pytest.raises(BusUnavailable):
        await agent.publish([ex.finished(2, host="a2")])
    await agent.publish([ex.finished(3)])
    await wait_until(lambda: reports.ids == ["h1-1/1/finished", "h1-3/1/finished"])
    await agent.close()


async def published_and(bus: RabbitBus, hints: Collector) -> bool:
    await bus.publish([ex.stop(1, "a1")])
    return bool(hints.ids)


def confine(rabbit: Rabbit, user: str, vhost: str) -> None:
    """RELIABILITY §2: configure nothing, write only to floe.agents under its own keys, read only its own queue."""
    rabbit.add_user(user, "pw", vhost)
    backend, who = "rabbit_auth_backend_internal", f'<<"{user}">>, <<"{vhost}">>'
    rights = f'<<"^$">>, <<"^floe\\\\.agents$">>, <<"^floe\\\\.agent\\\\.{user}$">>'
    keys = '<<"floe.agents">>, <<"^agent\\\\.{username}\\\\..*$">>, <<"^$">>'
    rabbit.evaluate(f'{backend}:set_permissions({who}, {rights}, <<"t">>).')
    rabbit.evaluate(f'{backend}:set_topic_permissions({who}, {keys}, <<"t">>).')


async def test_a_message_that_no_body_can_carry_is_refused_before_anything_is_sent(rabbit_bus: RabbitBus) -> None:
    with pytest.raises(InvalidInput, match="t2"):
        await rabbit_bus.publish([ex.trigger(1), ex.trigger(2, opts={"x": "\ud800"})])
    with pytest.raises(InvalidInput, match="255"):
        await rabbit_bus.publish([ex.trigger(1), m.TriggerReceived(id="t3", at=ex.AT, trigger_type="x" * 300)])
    assert (await rabbit_bus.queue_depths())["floe.triggers"] == 0


async def test_close_tells_who_still_waits(fresh_vhost: str, raw: AbstractChannel) -> None:
    bus = RabbitBus(fresh_vhost, name="test", declare=False, publish_timeout_seconds=60)
    await bus.start()
    await raw.queue_unbind("floe.control", "floe.in", "control.#")
    publishing = asyncio.create_task(bus.publish([ex.cancel(1)]))
    await asyncio.wait([publishing], timeout=0.1)
    await bus.close()
    with pytest.raises(BusUnavailable, match="closed"):
        await publishing


async def test_a_hint_that_no_body_can_carry_is_dropped(rabbit_bus: RabbitBus) -> None:
    got = Collector()
    await rabbit_bus.subscribe(port.DISPATCHER, got)
    await rabbit_bus.publish([m.PendAdded(id="\ud800", at=ex.AT, run="r"), ex.stop(1, "x" * 300), ex.pend(1)])
    await wait_until(lambda: got.ids == ["p1"])
