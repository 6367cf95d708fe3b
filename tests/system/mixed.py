"""Mixed flows whose tasks write down what they do, each by itself: evidence that does not come from floe."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOWS = {
    "quick": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: '%s'}}
  - {id: z, listen: task.a.good, type: end}""",
    "chain": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: '%s'}}
  - {id: b, listen: task.a.good, type: exec, opts: {shell: '%s'}}
  - {id: c, listen: task.b.good, type: exec, opts: {shell: '%s'}}""",
    "fan": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: '%s'}}
  - {id: b, listen: trigger.good, type: exec, opts: {shell: '%s'}}
  - {id: c, listen: trigger.good, type: exec, opts: {shell: '%s'}}
  - {id: m, class: merge, wait: [task.a.good, task.b.good, task.c.good]}
  - {id: z, listen: merge.m.good, type: end}""",
    "slow": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: 'for i in $(seq 30); do echo $i; sleep 0.05; done; %s'}}""",
    "timed": """
  - {id: t, listen: trigger.good, type: timer, opts: {period: 1}}
  - {id: a, listen: task.t.good, type: exec, opts: {shell: '%s'}}""",
    "bad": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: '%s; exit 3'}}""",
    "locked": """
  - {id: a, listen: trigger.good, type: exec, opts: {shell: 'flock -n $LOCK sleep 0.1 || touch $LOCK.broken; %s'}}""",
}
_NOTE = 'echo "$FLOE_RUN $FLOE_NODE $FLOE_ACTIVATION $FLOE_EPOCH $$" >> $EVIDENCE; echo done $FLOE_NODE'


@dataclass
class Evidence:
    """The file that every task appends a line to when it runs, and the lock that only one may hold."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def definition(self, name: str) -> str:
        tasks = FLOWS[name].replace("%s", _NOTE)
        tags = "\nresource-tags: [the-lock]" if name == "locked" else ""
        env = json.dumps([f"EVIDENCE={self.path}", f"LOCK={self.lock}"])
        return f"id: {name}\nenv: {env}{tags}\ntriggers: [{{id: go, type: data}}]\ntasks: {tasks}\n"

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def check(self, runs: list[dict[str, Any]]) -> None:
        """I2 no activation ran twice, I3 nobody shared the lock, I1 each run has the outcome that it had to have."""
        times = Counter(tuple(line[:3]) for line in self.lines())
        assert not [key for key, count in times.items() if count > 1], "a command ran twice"
        assert not self.lock.with_suffix(".lock.broken").exists(), "two runs held one tag"
        per_run = Counter(key[0] for key in times)
        tasks = {"chain": 3, "fan": 3}
        for run in runs:
            wanted = "bad" if run["flow"] == "bad" else "good"
            assert run["outcome"] == wanted, run
            assert per_run[run["ref"]] == tasks.get(run["flow"], 1), run


NAMES = list(FLOWS)
