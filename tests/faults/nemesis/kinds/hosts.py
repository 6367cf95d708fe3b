"""Agents' own troubles: full disks, failing fsync (X10), clocks (X11), two of one name (X12)."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.faults.nemesis import clocks, disks
from tests.faults.nemesis.house import signal_pid
from tests.faults.nemesis.kinds.fault import HOST_LOST, LEASE_OVER, SUPERVISOR_DIED, Fault
from tests.faults.nemesis.world import AGENTS, LOST_AFTER_SECONDS, SERVICES, World
from tests.system.deployed import FLOE


def spoil_disk(world: World, rng: random.Random) -> str:
    """An agent's disk full or read-only, or its fsync fails, for 5 to 15 s."""
    agent, seconds = rng.choice(AGENTS), rng.uniform(5, 15)
    ways = ["fsync"] + (["full", "full", "read-only"] if disks.available() else [])
    way = rng.choice(ways)
    root = world.directory / agent
    world.may_be_lost |= {LEASE_OVER, "cannot", "No space", "Read-only", "could not"}
    world.may_have_gaps = True
    if way == "fsync":
        return _fail_fsync(world, agent, seconds)
    if way == "read-only":
        # A disk with open files refuses: its agent is down meanwhile, and starts on a disk that it cannot write.
        world.house.kill(agent)
        done = disks.read_only(root, on=True) or _end_writers(world, agent)
        world.house.start(agent)
        world.wait(seconds)
        disks.read_only(root, on=False)
        return f"{agent}'s disk read-only for {seconds:.0f} s{'' if done else ' (refused: tasks had it open)'}"
    disks.fill(root)
    world.wait(seconds)
    disks.free(root)
    return f"{agent}'s disk full for {seconds:.0f} s"


def _end_writers(world: World, agent: str) -> bool:
    """End the supervisor too, whose tasks have logs open, and try again."""
    world.may_be_lost.add(SUPERVISOR_DIED)
    if pid := world.house.spawner_pid(agent):
        signal_pid(pid, signal.SIGKILL)
    world.wait(1)
    return disks.read_only(world.directory / agent, on=True)


def _fail_fsync(world: World, agent: str, seconds: float) -> str:
    flag = world.directory / f"{agent}.fsync"
    world.house.stop(agent)
    world.house.start(agent, **world.inside, NEMESIS_FSYNC=str(flag))
    world.wait(4)
    flag.touch()
    world.wait(seconds)
    flag.unlink()
    return f"{agent}'s fsync failed for {seconds:.0f} s"


def step_clock(world: World, rng: random.Random) -> str:
    """The wall clock of one process: steps of up to an hour either way, and drift."""
    if not clocks.available():
        return "no compiler here: not done"
    name = rng.choice((*SERVICES, "database"))
    if name == "database":
        return _step_database(world)
    clock = clocks.Clock(world.directory / f"{name}.clock")
    world.house.stop(name)
    world.house.start(name, **clock.environment())
    world.wait(3)
    steps = [rng.choice((3600.0, -3600.0, 60.0, -60.0)) for _ in range(2)]
    for step in steps:
        clock.set(step)
        world.wait(rng.uniform(2, 5))
    for number in range(20):
        clock.set(steps[-1] + number * 0.5)
        world.wait(0.2)
    clock.set(0)
    return f"{name}'s clock {', '.join(f'{step:+.0f} s' for step in steps)}, then fast"


def _step_database(world: World) -> str:
    """An hour back, and an hour forward again. (The other way round, what was due meanwhile would wait an hour.)"""
    clock = clocks.Clock(world.postgres.directory / "clock")
    world.may_be_lost.add(LEASE_OVER)
    (world.postgres.directory / "clock").chmod(0o644)
    world.postgres.stop()
    os.environ.update(clock.environment())
    try:
        world.start_server("database")
    finally:
        for name in clock.environment():
            del os.environ[name]
    world.wait(4)
    clock.set(-3600)
    world.wait(12)
    off = float(world.query("SELECT extract(epoch FROM now()) AS at")[0]["at"]) - time.time()
    clock.set(0)
    world.wait(2)
    return f"the database's clock {off:+.0f} s for 12 s"


def double_names(world: World, rng: random.Random) -> str:
    """A second agent of a name, on a root of its own and on the same; a third hub and dispatcher that come and go."""
    name = rng.choice(AGENTS)
    _same_root(world, name)
    impostor = "impostor"
    takes_over = rng.random() < 0.25
    world.may_be_lost.add(LEASE_OVER)
    for extra, command in (("hub3", "hub"), ("dispatcher3", "dispatcher")):
        world.house.start(extra, command, "--host", extra)
    if takes_over:
        world.may_be_lost |= {HOST_LOST, name}
        world.house.kill(name)
    world.house.start(impostor, "agent", "--host", name, "--tags", "linux")
    world.wait(LOST_AFTER_SECONDS + 20 if takes_over else rng.uniform(6, 12))
    taken = [path.name for path in (world.directory / impostor / "spaces").glob("*/ws/*")]
    if taken and not takes_over:
        world.violations.append(f"X12 a second {name} took {taken} while the first was there")
    for extra in (impostor, "hub3", "dispatcher3"):
        world.house.stop(extra) if rng.random() < 0.5 else world.house.kill(extra)
        world.house.forget(extra)
    if takes_over:
        world.house.start(name)
    return f"a second {name}{' after the first had gone' if takes_over else ''}, a third hub and dispatcher"


def _same_root(world: World, name: str) -> None:
    command = [FLOE, "agent", "--host", name, "--tags", "linux"]
    try:
        done = subprocess.run(
            command,
            env=world.house.environment(name),
            cwd=world.directory,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        world.violations.append(f"X12 a second agent runs on the root of {name}")
        return
    if done.returncode == 0:
        world.violations.append(f"X12 a second agent on the root of {name} ended well: {done.stderr[-200:]!r}")


def wait_for(path: Path, seconds: float) -> bool:
    """Whether the file came."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists():
            return True
        time.sleep(0.05)
    return False


FAULTS = (
    Fault("X10", "an agent's disk full or read-only, fsync fails", spoil_disk),
    Fault(
        "X11",
        "clock steps of an hour, drift",
        step_clock,
        "the broker's clock stays; the database's goes back and then forward, as due times are its own",
    ),
    Fault("X12", "two agents of one name, more hubs and dispatchers", double_names),
)
