"""Processes killed, rolled and paused: X1, X2, X3, X15."""

import random
import signal

from tests.faults.nemesis.house import signal_pid
from tests.faults.nemesis.kinds.fault import HOST_LOST, LEASE_OVER, SUPERVISOR_DIED, Fault
from tests.faults.nemesis.world import AGENTS, LOST_AFTER_SECONDS, SERVICES, World

SERVERS = ("broker", "database")
SPAWNERS = tuple(f"{agent}'s supervisor" for agent in AGENTS)


def kill_some(world: World, rng: random.Random) -> str:
    """One to three of them, each back after 1 to 10 s (supervisors: their agent starts another at once)."""
    victims = rng.sample((*SERVICES, *SERVICES, *SPAWNERS, *SERVERS), rng.choice((1, 1, 2, 3)))
    done = [kill_one(world, victim, rng.uniform(1, 10)) for victim in dict.fromkeys(victims)]
    return "kill " + ", ".join(done)


def kill_one(world: World, victim: str, seconds: float) -> str:
    """kill -9 of a service, a supervisor or a server by name, and its return."""
    world.may_be_lost.add(LEASE_OVER)
    if victim in SPAWNERS:
        world.may_be_lost.add(SUPERVISOR_DIED)
        pid = world.house.spawner_pid(victim.partition("'")[0])
        if pid:
            signal_pid(pid, signal.SIGKILL)
        return victim
    if victim in SERVERS:
        (world.rabbit if victim == "broker" else world.postgres).kill()
        world.wait(seconds)
        world.start_server(victim)
    else:
        world.house.kill(victim)
        world.wait(seconds)
        world.house.start(victim)
    return f"{victim} for {seconds:.0f} s"


def roll(world: World, rng: random.Random) -> str:
    """SIGTERM to each service in turn; each must end well, and is started again at once."""
    world.may_be_lost.add(LEASE_OVER)
    order = rng.sample(SERVICES, len(SERVICES))
    for name in order:
        try:
            status = world.house.stop(name)
        except AssertionError as error:
            world.violations.append(f"X2 {str(error).splitlines()[0]}")
        else:
            if status != 0:
                world.violations.append(f"X2 {name} ended with {status} after SIGTERM: {world.house.log(name)[-500:]}")
        world.house.start(name)
        world.wait(rng.uniform(0, 1))
    return "SIGTERM to " + ", ".join(order)


def pause_some(world: World, rng: random.Random) -> str:
    """SIGSTOP for 5 s, seldom for so long that a host is lost meanwhile, then SIGCONT."""
    victims = rng.sample((*SERVICES, *SERVERS), rng.choice((1, 2)))
    seconds = rng.choice((5.0, 5.0, 5.0, 20.0, LOST_AFTER_SECONDS + 15))
    world.may_be_lost.add(LEASE_OVER)
    if seconds > LOST_AFTER_SECONDS:
        world.may_be_lost.add(HOST_LOST)
    for victim in victims:
        pause(world, victim)
    world.wait(seconds)
    for victim in victims:
        resume(world, victim)
    return f"pause {', '.join(victims)} for {seconds:.0f} s"


def pause(world: World, victim: str) -> None:
    """Freeze it."""
    if victim in SERVERS:
        (world.rabbit if victim == "broker" else world.postgres).pause()
    else:
        for pid in world.house.pids(victim):
            signal_pid(pid, signal.SIGSTOP)


def resume(world: World, victim: str) -> None:
    """Thaw it."""
    if victim in SERVERS:
        (world.rabbit if victim == "broker" else world.postgres).resume()
    else:
        for pid in world.house.pids(victim):
            signal_pid(pid, signal.SIGCONT)


def everything(world: World, rng: random.Random) -> str:
    """kill -9 of all at once, then back in any order."""
    world.may_be_lost |= {LEASE_OVER, SUPERVISOR_DIED}
    for name in SERVICES:
        world.house.kill(name)
    spawners = rng.random() < 0.5
    for agent in AGENTS:
        pid = world.house.spawner_pid(agent)
        if pid and spawners:
            signal_pid(pid, signal.SIGKILL)
    world.rabbit.kill()
    world.postgres.kill()
    order = rng.sample((*SERVICES, *SERVERS), len(SERVICES) + len(SERVERS))
    for name in order:
        if name in SERVERS:
            world.start_server(name)
        else:
            world.house.start(name)
        world.wait(rng.uniform(0, 0.5))
    return f"kill all{' and the supervisors' if spawners else ''}, back as {', '.join(order)}"


FAULTS = (
    Fault("X1", "kill -9 and restart, 1-10 s apart", kill_some),
    Fault("X2", "SIGTERM rolling restart", roll),
    Fault("X3", "SIGSTOP, then SIGCONT", pause_some),
    Fault("X15", "everything at once, back in random order", everything),
)
