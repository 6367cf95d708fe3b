"""The checker of RELIABILITY §3: I1 to I5 and I8, for the runs of one cycle. `leftovers` has I6 and I7."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.nemesis.evidence import Evidence, Key, printed
from tests.faults.nemesis.flows import FLOWS, Kind
from tests.faults.nemesis.load import Promise
from tests.faults.nemesis.world import World
from tests.system.deployed import TOKEN

_AT_A_TIME = 8
_TRAILERS = (b"", b"exited with status: 3\n")


@dataclass
class Checker:
    """One per nemesis: it remembers what it has looked at already."""

    world: World
    evidence: Evidence
    found: list[str] = field(default_factory=list)
    lost: int = 0
    """Activations that ended as lost where the faults of their cycle allow it."""
    seen: set[str] = field(default_factory=set)

    def check(self, promises: Sequence[Promise], dropped: Collection[str] = ()) -> list[str]:
        """Everything about the runs of these promises. Call it when all of them, but those dropped, are archived."""
        self.found = list(self.evidence.read())
        rows = self.world.query("SELECT hub, number, flow, trigger_id, phase, outcome, reason, seq, host FROM run")
        new = [row for row in rows if self._ref(row) not in self.seen]
        self._one_run_each([promise for promise in promises if promise.trigger not in dropped], rows)
        views = asyncio.run(self._views([self._ref(row) for row in new]))
        for row in new:
            self._run(row, views[self._ref(row)])
        self.seen |= {self._ref(row) for row in new}
        known = {self._ref(row) for row in rows}
        self.found += [
            f"I1 tasks of {run} ran, and there is no such run" for run in self.evidence.of_run.keys() - known
        ]
        return self.found

    @staticmethod
    def _ref(row: dict[str, Any]) -> str:
        return f"{row['hub']}-{row['number']}"

    def _one_run_each(self, promises: Sequence[Promise], rows: Sequence[dict[str, Any]]) -> None:
        """I1."""
        by_trigger: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_trigger[row["trigger_id"]].append(row)
        for trigger, made in by_trigger.items():
            if len(made) > 1:
                self.found.append(f"I1 trigger {trigger} made {len(made)} runs: {[self._ref(row) for row in made]}")
        for promise in promises:
            if promise.trigger and not by_trigger.get(promise.trigger):
                self.found.append(f"I1 {promise.flow} was accepted as {promise.trigger}, and there is no run")

    async def _views(self, refs: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the api says of each run: itself, its events, its logs."""
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        free = asyncio.Semaphore(_AT_A_TIME)
        base = f"{self.world.house.address}/api/v1"
        async with httpx.AsyncClient(base_url=base, headers=bearer, timeout=60) as api:

            async def one(ref: str) -> dict[str, Any]:
                async with free:
                    run = (await api.get(f"/runs/{ref}")).raise_for_status().json()
                    events = (await api.get(f"/runs/{ref}/events", params={"limit": 500})).raise_for_status().json()
                    logs = {}
                    for node in run["nodes"]:
                        if node["type"] == "exec" and node["activation"]:
                            logs[node["id"]] = (await api.get(f"/runs/{ref}/nodes/{node['id']}/log")).content
                    return {"run": run, "events": events["items"], "logs": logs}

            return dict(zip(refs, await asyncio.gather(*map(one, refs)), strict=True))

    # --- one run --------------------------------------------------------------------------------------------------

    def _run(self, row: dict[str, Any], view: dict[str, Any]) -> None:
        ref, run = self._ref(row), view["run"]
        if row["flow"] not in FLOWS:
            return
        kind = FLOWS[row["flow"]]
        if row["phase"] != "archive":
            self.found.append(f"I1 {ref} ({row['flow']}) is {row['phase']}: {run['reason']}")
            return
        self._shown(ref, row, view)
        excused = self._excused(run)
        self.lost += len(excused)
        if row["outcome"] != kind.outcome and not (excused and row["outcome"] == "bad"):
            why = [f"{node['id']}: {node['reason']}" for node in run["nodes"] if node["reason"]]
            self.found.append(f"I1 {ref} ({row['flow']}) ended {row['outcome']}: {row['reason']} {why}")
        self._commands(ref, kind, row, run, bool(excused))
        for node in run["nodes"]:
            if node["id"] in view["logs"]:
                self._log((ref, node["activation"]), node, view["logs"][node["id"]])

    def _excused(self, run: dict[str, Any]) -> list[str]:
        """Reasons of lost activations that this cycle's faults bring with them."""
        reasons = [str(run["reason"]), *(str(node["reason"]) for node in run["nodes"])]
        return [reason for reason in reasons if any(part in reason for part in self.world.may_be_lost)]

    def _shown(self, ref: str, row: dict[str, Any], view: dict[str, Any]) -> None:
        """I8: what the api shows is what the store has, and its events are all there."""
        run = view["run"]
        if (run["phase"], run["outcome"]) != (row["phase"], row["outcome"]):
            self.found.append(f"I8 {ref} is shown as {run['phase']} {run['outcome']}: {row}")
        events = view["events"]
        if [event["seq"] for event in events] != list(range(1, row["seq"] + 1)):
            self.found.append(f"I8 {ref} has events {[event['seq'] for event in events]} of {row['seq']}")
        elif events[-1]["tag"] != "sys.end.all":
            self.found.append(f"I8 {ref} ends with {events[-1]['tag']}")
        unfinished = [n["id"] for n in run["nodes"] if n["status"] in ("queued", "running", "waiting")]
        if unfinished:
            self.found.append(f"I8 {ref} is archived and shows {unfinished} as going on")

    def _commands(self, ref: str, kind: Kind, row: dict[str, Any], run: dict[str, Any], excused: bool) -> None:
        """I2 from the other side: what is said to have run has run, once, and to its end."""
        done: dict[str, list[Key]] = defaultdict(list)
        for key in self.evidence.of_run.get(ref, ()):
            done[self.evidence.doings[key].node].append(key)
        for node, keys in done.items():
            if node not in kind.commands or len(keys) > 1:
                self.found.append(f"I2 {ref} ran {node} as {keys}")
        if row["outcome"] != kind.outcome or kind.outcome == "cancelled" or excused:
            return
        for node in kind.commands:
            doings = [self.evidence.doings[key] for key in done[node]]
            if [(doing.starts, doing.ends) for doing in doings] != [(1, 1)]:
                self.found.append(f"I2 {ref} ended {row['outcome']}, and of {node} is known: {doings}")

    def _log(self, key: Key, node: dict[str, Any], log: bytes) -> None:
        """I5: the log is what was printed; of one that was ended, the beginning of it."""
        doing = self.evidence.doings.get(key)
        announced = node["log_length"]
        if announced is not None and announced != len(log):
            self.found.append(f"I5 {key}: {len(log)} bytes of {announced} are stored")
            return
        if doing is None:
            return
        if self.world.may_have_gaps and b" bytes left out]" in log:
            return
        expected = printed(key, doing.lines)
        begin = log.find(expected[: expected.index(b"\n") + 1])
        said = log[begin:] if begin >= 0 else b""
        if doing.ends and node["exit_status"] is not None:
            if not (said.startswith(expected) and said[len(expected) :] in _TRAILERS):
                self.found.append(
                    f"I5 {key}: printed {len(expected)} bytes, the log has {len(said)} that differ: {said[-80:]!r}"
                )
            return
        same = len(said)
        while same and said[:same] != expected[:same]:
            same = said.rfind(b"\n", 0, same - 1) + 1
        if len(said) - same > 400:
            self.found.append(
                f"I5 {key}: was stopped, and {len(said) - same} bytes of its log are not its own: {said[same:][:80]!r}"
            )
