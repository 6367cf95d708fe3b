"""Every message doubled and reordered: X8. A consumer beside floe's copies all that passes and says it again, late."""

import asyncio
import random

import aiormq
from aiormq.abc import DeliveredMessage

from shared.bus.routes import AGENTS, HINT, IN, LIVE_EXCHANGE
from tests.faults.nemesis.kinds.fault import Fault
from tests.faults.nemesis.world import World

_MARK = "x-said-again"


def double_all(world: World, rng: random.Random) -> str:
    """For 15 s everything comes twice: the second time up to 3 s later, one in ten up to 20 s later, in any order."""
    count = world.loop.run(_double(world, random.Random(rng.random()), 15.0), 90)
    return f"{count} messages said again in another order"


async def _double(world: World, rng: random.Random, seconds: float) -> int:
    connection = await aiormq.connect(world.vhost)
    said = 0
    again: set[asyncio.Task[None]] = set()
    try:
        channel = await connection.channel(publisher_confirms=False)
        queue = (await channel.queue_declare("floe.live.nemesis", exclusive=True, auto_delete=True)).queue or ""
        for exchange in (IN, AGENTS, HINT, LIVE_EXCHANGE):
            await channel.queue_bind(queue, exchange, "#")

        async def say_again(message: DeliveredMessage, after: float) -> None:
            nonlocal said
            await asyncio.sleep(after)
            properties = message.header.properties
            properties.headers = {**(properties.headers or {}), _MARK: "1"}
            await channel.basic_publish(
                message.body,
                exchange=message.exchange or "",
                routing_key=message.routing_key or "",
                properties=properties,
            )
            said += 1

        async def on_message(message: DeliveredMessage) -> None:
            if _MARK not in (message.header.properties.headers or {}):
                after = rng.uniform(0, 20) if rng.random() < 0.1 else rng.uniform(0, 3)
                task = asyncio.create_task(say_again(message, after))
                again.add(task)
                task.add_done_callback(again.discard)

        tag = await channel.basic_consume(queue, on_message, no_ack=True)
        await asyncio.sleep(seconds)
        await channel.basic_cancel(tag.consumer_tag or "")
        if again:
            await asyncio.wait(again, timeout=25)
    finally:
        await connection.close()
    return said


FAULTS = (Fault("X8", "every message doubled and reordered", double_all),)
