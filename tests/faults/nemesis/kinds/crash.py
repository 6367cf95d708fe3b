"""Crashes at named points: X4. The process kills itself there, by a wrapper that only the nemesis puts in."""

import random
import time

from tests.faults.nemesis.kinds.fault import LEASE_OVER, Fault
from tests.faults.nemesis.world import World

_HUB, _DISPATCHER, _AGENT = ("hub1", "hub2"), ("dispatcher1", "dispatcher2"), ("one", "two")
_HUB_SERVICE = "services.hub.service:HubService"
POINTS = {
    "hub: adopted, not yet published": (_HUB, "services.hub.engine:Engine._tell:before"),
    "hub: published, not yet acknowledged (triggers)": (_HUB, f"{_HUB_SERVICE}._on_triggers:after"),
    "hub: report come, not yet committed": (_HUB, f"{_HUB_SERVICE}._on_reports:before"),
    "hub: report committed, not yet acknowledged": (_HUB, f"{_HUB_SERVICE}._on_reports:after"),
    "hub: output come, not yet stored": (_HUB, "services.hub.log_writer:LogWriter.handle:before"),
    "hub: output stored, not yet acknowledged": (_HUB, "services.hub.log_writer:LogWriter.handle:after"),
    "hub: in the transaction": (_HUB, "services.hub.batch:Batch.write:after"),
    "dispatcher: before a decision": (_DISPATCHER, "services.dispatcher.service:DispatcherService.place_once:before"),
    "dispatcher: decided and said": (_DISPATCHER, "services.dispatcher.service:DispatcherService.place_once:after"),
    "agent: offer come, not in the journal": (_AGENT, "services.agent.work:Work.offered:before"),
    "agent: journaled, not acknowledged": (_AGENT, "services.agent.service:AgentService._handle:after"),
    "agent: acknowledged, not started": (_AGENT, "services.agent.floor:Floor.launch:before"),
    "agent: about to hand to the spawner": (_AGENT, "services.agent.process:SpawnerLink.start:before"),
    "agent: handed to the spawner": (_AGENT, "services.agent.process:SpawnerLink.start:after"),
    "agent: ended, not noted": (_AGENT, "services.agent.floor:Floor._ended:before"),
    "agent: end noted, not told": (_AGENT, "services.agent.work:Work.ended:after"),
    "agent: settled, not noted": (_AGENT, "services.agent.work:Work.reports_settled:before"),
}
_DIES_WITHIN_SECONDS = 25.0


def crash_at_points(world: World, rng: random.Random) -> str:
    """Two or three points, one after the other."""
    world.may_be_lost.add(LEASE_OVER)
    return "; ".join(_crash(world, point, rng) for point in rng.sample(list(POINTS), rng.choice((2, 3))))


def _crash(world: World, point: str, rng: random.Random) -> str:
    names, where = POINTS[point]
    name, count = rng.choice(names), rng.randint(1, 6)
    world.house.stop(name)
    world.house.start(name, **world.inside, NEMESIS_CRASH=f"{where}:{count}")
    world.house.expect_end(name)
    until = time.monotonic() + _DIES_WITHIN_SECONDS
    while world.house.is_up(name) and time.monotonic() < until:
        time.sleep(0.05)
    died = not world.house.is_up(name)
    if not died:
        world.house.kill(name)
    world.house.start(name)
    return f"{point} ({name}, {'died' if died else 'did not come by, killed'})"


FAULTS = (Fault("X4", "crash at named points", crash_at_points),)
