"""Tasks that behave badly: X13. Floods, a line without end, binary, forks, memory."""

import random
import time
from typing import Any

import httpx

from tests.faults.nemesis.kinds.fault import Fault
from tests.faults.nemesis.world import World
from tests.waiting import wait_until_blocking

_CAP = 4 << 20
_FORK = 'for i in $(seq 40); do (trap "" TERM; setsid sleep 300 & sleep 300) & done; sleep 0.5; exit 0'
_MEMORY = 'ulimit -v 300000; exec python3 -I -S -c "x = bytearray(1 << 30)" 2>/dev/null'
_TASKS = {
    "flood": ("timeout 3 yes floods; true", "good", _CAP),
    "one-line": ('head -c 1073741824 /dev/zero | tr "\\\\0" x', "good", _CAP),
    "binary": ("head -c 3000000 /dev/urandom", "good", 3_000_000),
    "forks": (_FORK, "good", 0),
    "memory": (_MEMORY, "bad", 0),
}
"""Command, outcome, and how many bytes its log must have at least (the cap keeps it from having many more)."""


def misbehave(world: World, rng: random.Random) -> str:
    """Two of them, each to its end; what they leave behind must be gone with them."""
    names = rng.sample(list(_TASKS), 2)
    world.wait_well()
    with world.house.client() as api:
        for name in names:
            command = _TASKS[name][0]
            text = f"id: {name}\ntriggers: [{{id: go, type: data}}]\ntasks:\n"
            world.put(
                api, name, f"{text}  - {{id: a, listen: trigger.good, type: exec, opts: {{shell: '{command}'}}}}\n"
            )
        runs = {name: _start(world, api, name) for name in names}
    for name, ref in runs.items():
        _ended(world, name, ref)
    return " and ".join(names)


def _start(world: World, api: httpx.Client, name: str) -> str:
    for _ in range(10):
        answer = api.post(f"/flows/{name}/runs?wait=adopted&timeout=30", json={"opts": {}})
        if answer.status_code == 200 and answer.json()["runs"]:
            return str(answer.json()["runs"][0]["ref"])
        time.sleep(1)
    raise AssertionError(f"{name} was not started: {answer.text}")


def _ended(world: World, name: str, ref: str) -> None:
    _, outcome, least = _TASKS[name]

    def archived() -> dict[str, Any] | None:
        with world.house.client() as api:
            run: dict[str, Any] = api.get(f"/runs/{ref}").json()
        return run if run["phase"] == "archive" else None

    run = wait_until_blocking(archived, 90, f"{name} ({ref}) is archived")
    if run["outcome"] != outcome:
        world.violations.append(f"X13 {name} ({ref}) ended {run['outcome']}: {run['nodes'][-1]}")
    with world.house.client() as api:
        log = api.get(f"/runs/{ref}/nodes/a/log").content
    if not least <= len(log) <= _CAP + (64 << 10):
        world.violations.append(f"X13 {name} ({ref}) has a log of {len(log)} bytes; at least {least}, at most {_CAP}")
    if least == _CAP and b" bytes left out]" not in log:
        world.violations.append(f"X13 {name} ({ref}) was cut, and its log does not say so")


FAULTS = (
    Fault(
        "X13",
        "200 MB/s, a 1 GB line, binary, forks that ignore SIGTERM, out of memory",
        misbehave,
        "a fork bomb without end and an out-of-memory killer would hit the whole machine: 80 processes and a limit do",
    ),
)
