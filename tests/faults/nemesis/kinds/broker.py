"""The broker against us: alarms, queues deleted or purged, connections closed, rights revoked, poison (X6, X7, X14)."""

import json
import random
import shutil
import time
from collections import Counter

import aiormq
from aiormq.abc import AbstractChannel

from shared.bus.routes import AGENTS as AGENTS_EXCHANGE
from shared.bus.routes import HINT, IN, LIVE_EXCHANGE
from tests.faults.nemesis.kinds.fault import LEASE_OVER, Fault
from tests.faults.nemesis.world import AGENTS, World
from tests.waiting import wait_until_blocking

_DISK_ALARM = 'rabbit_disk_monitor:set_disk_free_limit("{}").'
_RIGHTS = (
    'rabbit_auth_backend_internal:set_permissions(<<"{}">>, <<"{}">>, <<"{r}">>, <<"{r}">>, <<"{r}">>, <<"test">>).'
)
_HINT_QUEUES = ("floe.hub.hints", "floe.dispatcher", *(f"floe.agent.{host}" for host in AGENTS))
_RESENT_QUEUES = ("floe.reports", "floe.logs")
_TRIGGERS = "floe.triggers"
_KEPT_QUEUES = ("floe.triggers", "floe.control", "floe.reports", "floe.logs")


def raise_alarm(world: World, rng: random.Random) -> str:
    """Memory or disk alarm: the broker reads nothing from publishers."""
    seconds = rng.choice((10.0, 20.0, 60.0))
    world.may_be_lost.add(LEASE_OVER)
    if rng.random() < 0.5:
        world.rabbit.raise_memory_alarm()
        world.wait(seconds)
        world.rabbit.clear_memory_alarm()
        return f"memory alarm for {seconds:.0f} s"
    world.rabbit.evaluate(_DISK_ALARM.format("900TB"))
    world.wait(seconds)
    world.rabbit.evaluate(_DISK_ALARM.format("50MB"))
    return f"disk alarm for {seconds:.0f} s"


def upset_broker(world: World, rng: random.Random) -> str:
    """One of the things that an operator can do to a broker by mistake."""
    world.may_be_lost.add(LEASE_OVER)
    match rng.choice(("close", "delete", "delete", "purge", "triggers", "rights", "data")):
        case "close":
            for _ in range(3):
                world.rabbit.close_connections()
                world.wait(rng.uniform(0.5, 3))
            return "all connections closed three times"
        case "delete":
            names = rng.sample((*_HINT_QUEUES, *_RESENT_QUEUES), 2)
            for name in names:
                world.loop.run(_with_channel(world, _delete, name))
                world.wait(rng.uniform(0, 3))
            return f"deleted {', '.join(names)}"
        case "purge":
            for name in (*_HINT_QUEUES, *_RESENT_QUEUES):
                world.loop.run(_with_channel(world, _purge, name))
            return "purged everything that can be said again"
        case "triggers":
            world.dropped_at.append(time.monotonic())
            world.loop.run(_with_channel(world, _delete, _TRIGGERS))
            return f"deleted {_TRIGGERS}"
        case "data":
            return _forget_everything(world, rng.choice((5.0, 20.0, 60.0)))
        case _:
            return _revoke(world, rng.uniform(3, 12))


def _forget_everything(world: World, seconds: float) -> str:
    """Stopped, its data deleted, started as new: what was confirmed and nobody had adopted is the only loss."""
    world.dropped_at.append(time.monotonic())
    world.rabbit.stop()
    world.wait(seconds)
    data = world.rabbit.directory / "data"
    shutil.rmtree(data)
    data.mkdir()
    world.start_server("broker")
    name, user = world.vhost.rpartition("/")[2], world.rabbit.user
    world.rabbit.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"test">>).')
    world.rabbit.evaluate(_RIGHTS.format(user, name, r=".*"))
    return f"stopped for {seconds:.0f} s and its data deleted"


def _revoke(world: World, seconds: float) -> str:
    vhost = world.vhost.rpartition("/")[2]
    world.rabbit.evaluate(_RIGHTS.format(world.rabbit.user, vhost, r="^$"))
    world.rabbit.close_connections()
    world.wait(seconds)
    world.rabbit.evaluate(_RIGHTS.format(world.rabbit.user, vhost, r=".*"))
    return f"rights revoked for {seconds:.0f} s"


async def _with_channel(world: World, act, *args: object):  # type: ignore[no-untyped-def]
    connection = await aiormq.connect(world.vhost)
    try:
        return await act(await connection.channel(publisher_confirms=True), *args)
    finally:
        await connection.close()


async def _delete(channel: AbstractChannel, name: str) -> None:
    await channel.queue_delete(name)


async def _purge(channel: AbstractChannel, name: str) -> None:
    await channel.queue_purge(name)


# --- poison -----------------------------------------------------------------------------------------------------------

_KEYS = (
    (IN, "trigger.data"),
    (IN, "control.run"),
    (IN, "data.run"),
    (AGENTS_EXCHANGE, "agent.one.task"),
    (AGENTS_EXCHANGE, "agent.two.log"),
    (AGENTS_EXCHANGE, "agent.one.beat"),
    (HINT, "assigned.run"),
    (HINT, "pend.run"),
    (HINT, "host.one"),
    (LIVE_EXCHANGE, "live"),
)
_MUST_BE_BURIED = 5
"""The first of them have kept queues: what comes there wrong must be among the dead letters."""


def poison(world: World, rng: random.Random) -> str:
    """Unknown types, cut JSON, binary, a wrong version, 20 MB: to every queue."""
    sent = world.loop.run(_with_channel(world, _poison, random.Random(rng.random())), 120)
    world.poison_sent += sent
    return f"{sent} poisonous bodies to kept queues, as many to others"


async def _poison(channel: AbstractChannel, rng: random.Random) -> int:
    sent = 0
    for number, (exchange, key) in enumerate(_KEYS):
        for body in _bodies(rng):
            await channel.basic_publish(body, exchange=exchange, routing_key=key)
            sent += number < _MUST_BE_BURIED
    return sent


def _bodies(rng: random.Random) -> list[bytes]:
    whole = json.dumps({"v": 1, "messages": [{"type": "TriggerReceived", "id": "x", "at": "2026-01-01T00:00:00Z"}]})
    return [
        b'{"v":1,"messages":[{"type":"NobodyKnows","id":"x","at":"2026-01-01T00:00:00Z"}]}',
        whole[: rng.randrange(1, len(whole) - 1)].encode(),
        rng.randbytes(1000),
        b'{"v":99,"messages":[]}',
        b"[" * 30_000,
        rng.randbytes(20 << 20) if rng.random() < 0.3 else b"",
    ]


def bury(world: World) -> list[str]:
    """Take the dead letters of the poison away; returns what is wrong with them."""
    letters: list[str] = []

    def all_there() -> bool:
        letters.extend(world.loop.run(_with_channel(world, _take_letters)))
        return sum(queue in _KEPT_QUEUES for queue in letters) >= world.poison_sent

    sent, problems = world.poison_sent, []
    try:
        wait_until_blocking(all_there, 30, "all dead letters")
    except AssertionError:
        problems.append(f"I7 X14 of {sent} poisonous bodies became letters: {Counter(letters)}")
    world.poison_sent = 0
    return problems


async def _take_letters(channel: AbstractChannel) -> list[str]:
    """The queue that each of them came from. Several ride in one message."""
    found: list[str] = []
    while (got := await channel.basic_get("floe.dead", no_ack=True)).body or got.delivery_tag:
        found += [letter["queue"] for letter in json.loads(got.body)["messages"]]
    return found


FAULTS = (
    Fault("X6", "memory and disk alarm", raise_alarm),
    Fault(
        "X7",
        "queues deleted or purged, connections closed, rights revoked",
        upset_broker,
        "floe.control is not deleted: an answer or a cancel that it holds exists nowhere else, as RELIABILITY says",
    ),
    Fault("X14", "poison: unknown type, cut JSON, binary, 20 MB", poison),
)
