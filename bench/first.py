"""W1 and W2 of the performance goals. Run: `python -m bench.first [--mode embedded|cluster] [--rounds N]`.

W1: 50 one-task runs one after another, request to `?wait=ended` answered; p50 and p95 in ms.
W2: 1,000 such runs triggered at once over 24 connections, until all are archived; runs/s. None may be missing.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles

from bench import machine
from bench.client import Connection
from tests.servers import open_postgres, open_rabbit
from tests.system.deployed import TOKEN, Deployed, cluster, up

FLOW = b"""
id: one
triggers: [{id: go, type: data}]
tasks:
  - {id: a, listen: trigger.good, type: exec, opts: {cmd: "true"}}
  - {id: z, listen: task.a.good, type: end}
"""
W1_RUNS, W2_RUNS, CONNECTIONS = 50, 1000, 24
START = "/api/v1/flows/one/runs"


@contextmanager
def deployed(mode: str) -> Iterator[Deployed]:
    """floe in that mode, ready, with the flow stored."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="floe-bench-")))
        if mode == "embedded":
            house = up(directory, "--slots", "1000")
        else:
            postgres = stack.enter_context(stack.enter_context(open_postgres()).fresh_database())
            rabbit = stack.enter_context(stack.enter_context(open_rabbit()).fresh_vhost())
            house = cluster(directory, postgres, rabbit, {"one": "linux"}, FLOE_SLOTS="1000")
        try:
            house.ready(next(name for name in house.processes if name in ("up", "api")))
            yield house
        finally:
            house.stop_all()


async def w1(port: int) -> list[float]:
    """Milliseconds of each run, at random phase."""
    times = []
    async with Connection(port, TOKEN) as api:
        for _ in range(W1_RUNS):
            await asyncio.sleep(random.uniform(0.0, 0.03))
            started = time.perf_counter()
            status, answer = await api.call("POST", f"{START}?wait=ended&timeout=30", b'{"opts": {}}')
            times.append((time.perf_counter() - started) * 1000)
            assert status == 200, answer
            assert answer["runs"][0]["outcome"] == "good", answer
    return times


async def w2(port: int) -> float:
    """Runs per second, from the first request until none is pending or active."""
    left = iter(range(W2_RUNS))
    ids: set[str] = set()

    async def client() -> None:
        async with Connection(port, TOKEN) as api:
            for _ in left:
                status, answer = await api.call("POST", START, b'{"opts": {}}')
                assert status == 202, answer
                ids.add(answer["trigger_id"])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(client())
    async with Connection(port, TOKEN) as api:
        while await _open_runs(api):  # noqa: ASYNC110 - the api is asked, as a client would
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - started
        done = await _archived(api, ids)
    assert done == W2_RUNS, f"{W2_RUNS - done} runs are missing"
    return W2_RUNS / seconds


async def _open_runs(api: Connection) -> bool:
    for phase in ("pending", "active"):
        _, answer = await api.call("GET", f"/api/v1/runs?phase={phase}&limit=1")
        if answer["items"]:
            return True
    return False


async def _archived(api: Connection, ids: set[str]) -> int:
    """How many of these triggers have an archived run."""
    found, cursor = 0, ""
    while found < len(ids):
        _, page = await api.call("GET", f"/api/v1/runs?phase=archive&limit=100{cursor}")
        found += sum(run["trigger_id"] in ids for run in page["items"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    return found


async def measure(house: Deployed, rounds: int) -> None:
    """Warm up, then print each round and the medians."""
    async with Connection(house.port, TOKEN) as api:
        status, answer = await api.call("PUT", "/api/v1/flows/one", FLOW, "application/yaml")
        assert status in (200, 201), answer
        for _ in range(10):
            await api.call("POST", f"{START}?wait=ended&timeout=30", b'{"opts": {}}')
    p50s, p95s, rates = [], [], []
    for _ in range(rounds):
        times = await w1(house.port)
        p50s.append(median(times))
        p95s.append(quantiles(times, n=20)[-1])
        rates.append(await w2(house.port))
        print(f"  W1 p50 {p50s[-1]:6.1f} ms  p95 {p95s[-1]:6.1f} ms   W2 {rates[-1]:6.0f} runs/s", flush=True)
    starts = machine.process_starts()
    print(f"median W1 p50 {median(p50s):.1f} ms, p95 {median(p95s):.1f} ms; W2 {median(rates):.0f} runs/s")
    print(f"same run: {starts:.0f} process starts/s (W2 is {median(rates) / starts:.2f} of that), ", end="")
    print(f"{machine.syncs():.0f} syncs/s, calibration {machine.cpu_calibration():.1f} ms")


def main() -> None:
    """Both modes, or the one asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["embedded", "cluster"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{machine.facts()}; commit {machine.commit()}")
    for mode in [given.mode] if given.mode else ["embedded", "cluster"]:
        print(f"{mode}:")
        with deployed(mode) as house:
            asyncio.run(measure(house, given.rounds))


if __name__ == "__main__":
    main()
