"""The database against us: X9 and X17."""

import asyncio
import random
import time
from contextlib import suppress

import asyncpg

from tests.faults.nemesis import disks
from tests.faults.nemesis.kinds.fault import LEASE_OVER, Fault
from tests.faults.nemesis.world import World
from tests.servers.machine import end
from tests.servers.postgres import plain_url

_ROWS = "SELECT number FROM run WHERE phase <> 'archive' ORDER BY number DESC LIMIT 40"


def upset_database(world: World, rng: random.Random) -> str:
    """Backends terminated, a table locked, deadlocks, immediate stop, disk full."""
    world.may_be_lost.add(LEASE_OVER)
    match rng.choice(("terminate", "lock", "deadlock", "immediate", "full")):
        case "terminate":
            for _ in range(4):
                world.postgres.close_connections()
                world.wait(rng.uniform(0.2, 2))
            return "backends terminated four times"
        case "lock":
            table, seconds = rng.choice(("run", "activation", "claim", "agent", "log")), rng.choice((10.0, 30.0))
            world.loop.run(_lock(world, table, seconds), seconds + 60)
            return f"{table} locked for {seconds:.0f} s"
        case "deadlock":
            count = world.loop.run(_deadlock(world, 8.0), 60)
            return f"rows locked in the wrong order for 8 s, {count} of ours were the victim"
        case "immediate":
            _stop_at_once(world)
            world.wait(rng.uniform(1, 8))
            world.start_server("database")
            return "immediate stop"
        case _:
            return _fill(world, rng.uniform(4, 12))


async def _lock(world: World, table: str, seconds: float) -> None:
    connection = await asyncpg.connect(plain_url(world.database))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = 30000")
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            await asyncio.sleep(seconds)
    finally:
        await connection.close()


async def _deadlock(world: World, seconds: float) -> int:
    """Lock runs and activations from the newest on, one by one, the opposite way of everybody else."""
    connection = await asyncpg.connect(plain_url(world.database))
    victims, until = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            try:
                async with connection.transaction():
                    for row in await connection.fetch(_ROWS):
                        await connection.execute("SELECT 1 FROM activation WHERE run = $1 FOR UPDATE", row["number"])
                        await connection.execute("SELECT 1 FROM run WHERE number = $1 FOR UPDATE", row["number"])
                        await asyncio.sleep(0.02)
            except asyncpg.DeadlockDetectedError:
                victims += 1
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    return victims


def _stop_at_once(world: World) -> None:
    import signal

    end(world.postgres._process, signal.SIGQUIT)


def _fill(world: World, seconds: float) -> str:
    """Its disk full; it may fall, and is started again once there is room."""
    if not disks.available():
        return "disk full: not on this machine"
    taken = disks.fill(world.postgres.directory)
    # What is preallocated would carry it for a while: force new WAL, so that it meets the end of the disk.
    with suppress(Exception):
        world.postgres.execute("SELECT pg_switch_wal()")
    world.wait(seconds)
    disks.free(world.postgres.directory)
    fell = not world.postgres._answers()
    if fell:
        _stop_at_once(world)
        world.start_server("database")
    return f"disk full ({taken >> 20} MB taken) for {seconds:.0f} s{', it fell' if fell else ''}"


def migrate(world: World, rng: random.Random) -> str:
    """`floe migrate` again and again while everything works, then two services newly started on it."""
    for _ in range(3):
        done = world.house.floe("migrate")
        if done.returncode != 0:
            world.violations.append(f"X17 migrate under load: {done.stderr[-300:]}")
        world.wait(rng.uniform(0, 1))
    for name in rng.sample(("api", "hub1", "hub2", "dispatcher1"), 2):
        world.house.stop(name)
        world.house.start(name)
    return "floe migrate three times"


FAULTS = (
    Fault("X9", "backends terminated, locks, deadlocks, immediate stop, disk full", upset_database),
    Fault(
        "X17",
        "schema migration while processes run",
        migrate,
        "there is one schema version so far: expanding it under old processes waits for the second",
    ),
)
