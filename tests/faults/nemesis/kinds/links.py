"""What lies between services and servers: X5."""

import random
from collections.abc import Sequence

from tests.faults.nemesis.kinds.fault import HOST_LOST, LEASE_OVER, Fault
from tests.faults.nemesis.proxy import Line
from tests.faults.nemesis.world import AGENTS, LOST_AFTER_SECONDS, World

_MODES = ("black hole", "black hole", "to the server only", "from the server only", "reset", "200 ms", "half a frame")


def harm_links(world: World, rng: random.Random) -> str:
    """One way of harm to one service's link, or to all links to one server, for 8 to 20 s; seldom for much longer."""
    mode = rng.choice(_MODES)
    where, lines = _choose(world, rng)
    seconds = rng.uniform(8, 20)
    if rng.random() < 0.15 and mode == "black hole":
        seconds = LOST_AFTER_SECONDS + 10
    world.may_be_lost.add(LEASE_OVER)
    if seconds > LOST_AFTER_SECONDS / 2:
        world.may_be_lost.add(HOST_LOST)
    _begin(world, mode, lines)
    until = seconds
    while until > 0:
        world.wait(min(until, 2.0))
        until -= 2.0
        if mode == "reset":
            for line in lines:
                world.loop.reset(line)
    for line in lines:
        line.pass_all()
    return f"{mode} {where} for {seconds:.0f} s"


def _choose(world: World, rng: random.Random) -> tuple[str, Sequence[Line]]:
    server = rng.choice(("broker", "broker", "database"))
    mine = {service: line for (service, to), line in world.lines.items() if to == server}
    mine = {service: line for service, line in mine.items() if server == "broker" or service not in AGENTS}
    if rng.random() < 0.4:
        return f"all - {server}", list(mine.values())
    service = rng.choice(sorted(mine))
    return f"{service} - {server}", [mine[service]]


def _begin(world: World, mode: str, lines: Sequence[Line]) -> None:
    for line in lines:
        line.hold_up = mode in ("black hole", "to the server only")
        line.hold_down = mode in ("black hole", "from the server only")
        line.delay = 0.2 if mode == "200 ms" else 0.0
        line.cut = 0.02 if mode == "half a frame" else 0.0
        if mode == "reset":
            world.loop.reset(line)


FAULTS = (Fault("X5", "black hole, one direction, reset, 200 ms, half a frame", harm_links),)
