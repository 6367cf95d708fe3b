"""A killed agent loses nothing and starts nothing twice (RELIABILITY §1)."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent.spawner import tree
from tests.services.agent.conftest import left_over
from tests.waiting import wait_until_blocking


class Lone:
    """The process of `lone`, which may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.root, self.state = directory / "root", directory / "state"
        self._process: subprocess.Popen[bytes] | None = None
        self.spawner = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.services.agent.lone", str(self.root), str(self.state)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(b"ready"):
                self.spawner = int(line.split()[1])
                return
        raise AssertionError("the agent did not start")

    def offer(self, run: str, n: int, script: str) -> None:
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(f"{run} {n} {script}\n".encode())
        self._process.stdin.flush()

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self.close()

    def send(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        process.wait(20)

    def reports(self) -> list[str]:
        path = self.state / "reports"
        return path.read_text().splitlines() if path.exists() else []

    def finished(self, run: str, n: int) -> tuple[str, int] | None:
        """Status, as text, and length of the log."""
        for line in self.reports():
            kind, key, *rest = line.split()
            if kind == "finished" and key == f"{run}/{n}":
                return rest[0], int(rest[1])
        return None

    def log(self, run: str, n: int) -> bytes:
        path = self.state / "logs" / f"{run}.{n}"
        return path.read_bytes() if path.exists() else b""

    def whole(self, run: str, n: int) -> bool:
        end = self.finished(run, n)
        return end is not None and len(self.log(run, n)) == end[1]


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Lone]:
    made = Lone(tmp_path)
    made.start()
    yield made
    made.close()
    for pid in left_over(tmp_path):
        if (proc := tree.read(pid)) is not None:
            tree.send(proc, signal.SIGKILL)
    wait_until_blocking(lambda: not left_over(tmp_path), 10, "no process left")


def test_a_task_outlives_its_killed_agent_and_is_told_by_the_next(lone: Lone, tmp_path: Path) -> None:
    lone.offer("h-1", 1, "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.005; done")
    wait_until_blocking(lambda: b"line 20\n" in lone.log("h-1", 1), what="some output")
    spawner = lone.spawner
    lone.kill()
    lone.start()
    assert lone.spawner == spawner
    wait_until_blocking(lambda: lone.whole("h-1", 1), 20, "the end with its log")
    assert lone.finished("h-1", 1) == ("0", len(lone.log("h-1", 1)))
    assert lone.log("h-1", 1).endswith("".join(f"line {i}\n" for i in range(200)).encode())


def test_an_end_nobody_saw_is_found_on_disk(lone: Lone, tmp_path: Path) -> None:
    go = tmp_path / "go"
    lone.offer("h-1", 1, f"echo up; while [ ! -e {go} ]; do sleep 0.02; done; echo down; exit 6")
    wait_until_blocking(lambda: b"up\n" in lone.log("h-1", 1), what="its output")
    lone.kill()
    go.touch()
    wait_until_blocking((lone.root / "tasks/h-1.1/end").exists, what="its end on disk")
    lone.start()
    wait_until_blocking(lambda: lone.whole("h-1", 1), what="its end with its log")
    assert lone.finished("h-1", 1) is not None
    assert lone.log("h-1", 1).endswith(b"up\ndown\nexited with status: 6\n")


def test_an_agent_that_paused_goes_on_with_its_spawner(lone: Lone) -> None:
    lone.offer("h-1", 1, "seq 1 5000; echo up; sleep 0.5; seq 1 5000; exit 3")
    wait_until_blocking(lambda: b"up\n" in lone.log("h-1", 1), what="its output")
    lone.send(signal.SIGSTOP)
    wait_until_blocking((lone.root / "tasks/h-1.1/end").exists, what="its end on disk")
    lone.send(signal.SIGCONT)
    wait_until_blocking(lambda: lone.whole("h-1", 1), what="its end with its log")
    assert lone.log("h-1", 1).endswith(b"\n4999\n5000\nexited with status: 3\n")


def test_killed_at_random_nothing_starts_twice_and_nothing_is_lost(lone: Lone, tmp_path: Path) -> None:
    """Agent, or spawner, or both, five times in the middle of many short tasks."""
    dice, marks, offered = random.Random(7), tmp_path / "marks", 0
    marks.mkdir()
    for life in range(5):
        for _ in range(30):
            offered += 1
            lone.offer(f"h-{offered}", 1, f"echo start >> {marks}/{offered}; sleep 0.0{dice.randrange(10)}; echo end")
        wait_until_blocking(lambda least=life * 30: len(lone.reports()) > least, what="some reports")
        if life % 2:
            os.kill(lone.spawner, signal.SIGKILL)
        lone.kill()
        lone.start()
    taken = [path.name.removesuffix(".1") for path in (lone.root / "tasks").iterdir()]
    wait_until_blocking(lambda: not os.listdir(lone.root / "tasks"), 30, f"everything settled, {len(taken)} to go")
    told = {line.split()[1] for line in lone.reports()}
    assert len(told) > 30
    for mark in marks.iterdir():
        assert mark.read_text() == "start\n"
        told.add(f"h-{mark.name}/1")
    for key in told:
        run, _, n = key.partition("/")
        end = lone.finished(run, int(n))
        assert end is not None
        assert end[1] == len(lone.log(run, int(n)))
        assert end[0] == "0" or lone.log(run, int(n)).endswith(b"the supervisor died\n")


def test_an_agent_killed_with_its_spawner_leaves_no_process(lone: Lone, tmp_path: Path) -> None:
    lone.offer("h-1", 1, "(setsid sleep 1000 &); echo up; sleep 1000")
    wait_until_blocking(lambda: b"up\n" in lone.log("h-1", 1), what="its output")
    os.kill(lone.spawner, signal.SIGKILL)
    lone.kill()
    wait_until_blocking(lambda: not left_over(tmp_path), what="the guard has killed all of it")
    lone.start()
    wait_until_blocking(lambda: b"the supervisor died" in lone.log("h-1", 1), what="the report")
