"""What the tasks themselves wrote down, read as it grows: independent of everything that floe says."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.nemesis.task import output

Key = tuple[str, int]
"""A run's ref and an activation's number."""


@dataclass
class Doing:
    """What one activation's process wrote about itself."""

    node: str
    lines: int
    epoch: int
    pid: int
    starts: int = 0
    ends: int = 0
    printed: int = 0


@dataclass
class Evidence:
    """`read` takes in what is new; it may be called at any time."""

    directory: Path
    doings: dict[Key, Doing] = field(default_factory=dict)
    of_run: dict[str, list[Key]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)
    _offset: int = 0
    _holder: dict[str, str] = field(default_factory=dict)
    _had: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def read(self) -> list[str]:
        """Returns the violations of I2 and I3 that the new lines show."""
        self.violations = []
        path = self.directory / "evidence"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))
        return self.violations

    def _take(self, record: dict[str, object]) -> None:
        run, n, what = str(record["run"]), int(str(record["activation"])), record["is"]
        if what == "conflict":
            self.violations.append(f"I3 {run}/{n} found the lock of {record['tag']} held")
            return
        doing = self.doings.get((run, n))
        if doing is None:
            lines = int(str(record.get("lines", 0)))
            doing = Doing(str(record["node"]), lines, int(str(record["epoch"])), int(str(record["pid"])))
            self.doings[run, n] = doing
            self.of_run[run].append((run, n))
        if what == "start":
            doing.starts += 1
            if doing.starts > 1:
                self.violations.append(f"I2 {run}/{n} was started {doing.starts} times: {record}")
        else:
            doing.ends += 1
            doing.printed = int(str(record["bytes"]))
            if doing.ends > 1 or doing.pid != record["pid"]:
                self.violations.append(f"I2 {run}/{n} ended as another process than it began: {record}")
        for tag in record.get("tags") or []:  # type: ignore[attr-defined]
            self._hold(tag, run)

    def _hold(self, tag: str, run: str) -> None:
        """The lines are in order of time, so the runs of a tag must stand in blocks."""
        if self._holder.get(tag) == run:
            return
        if run in self._had[tag]:
            self.violations.append(f"I3 {run} worked under {tag} again after {self._holder[tag]} had it")
        self._had[tag].add(run)
        self._holder[tag] = run


def printed(key: Key, lines: int) -> bytes:
    """All that this activation would print if nobody stopped it."""
    return b"".join(output(key[0], str(key[1]), lines))
