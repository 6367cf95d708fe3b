"""One offer done to its end, as the agent would do it, and things to fetch and to check out."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.agent import tasks
from shared.bus.messages import TaskOffered
from tests.services.tasks.repository import Repository
from tests.services.tasks.site import Site


@dataclass(frozen=True)
class Outcome:
    """How a task ended, and its whole log."""

    status: int | None
    error: str | None
    opts: Mapping[str, Any]
    log: str


class Doing:
    """A workspace and what is done in it, one task after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = tasks.TaskSettings()
        self.place = self.new_place("a")

    @property
    def ws(self) -> Path:
        return self.place.workspace

    def new_place(self, name: str) -> tasks.TaskPlace:
        place = tasks.TaskPlace(self.root / name / "ws", self.root / name / "scratch", self.root / "cache")
        for directory in (place.workspace, place.scratch, place.cache):
            directory.mkdir(parents=True, exist_ok=True)
        return place

    def offer(
        self, task: str, definition: Mapping[str, Any], opts: Mapping[str, Any] | None = None, env: Sequence[str] = ()
    ) -> TaskOffered:
        return TaskOffered(
            id="h1-7/3/offer",
            at=datetime.now(UTC),
            run="h1-7",
            n=3,
            epoch=2,
            host="h1",
            flow="build",
            ver=1,
            node="compile",
            task=task,
            definition=definition,
            env=env,
            opts={**(opts or {}), **definition},
        )

    def plan(self, task: str, definition: Mapping[str, Any], **more: Any) -> tasks.TaskPlan:
        return tasks.plan(self.offer(task, definition, **more), self.place, self.settings)

    def start(self, plan: tasks.TaskPlan) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(plan.argv, env=plan.env, cwd=plan.cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __call__(self, task: str, definition: Mapping[str, Any], **more: Any) -> Outcome:
        offer = self.offer(task, definition, **more)
        plan = tasks.plan(offer, self.place, self.settings)
        process = self.start(plan)
        output = process.communicate(timeout=60)[0]
        end = tasks.end(offer, self.place, plan.own_program, process.returncode)
        log = plan.preamble + output + end.trailer
        return Outcome(end.status, end.error, end.opts, log.decode(errors="replace"))


@pytest.fixture
def do(tmp_path: Path) -> Doing:
    return Doing(tmp_path / "agent")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as one:
        yield one


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin" / "tool")


@pytest.fixture
def refused(do: Doing) -> Callable[..., str]:
    """The reason why an offer cannot be executed as asked: from its plan, or from its end."""

    def reason(task: str, definition: Mapping[str, Any], **more: Any) -> str:
        try:
            outcome = do(task, definition, **more)
        except tasks.TaskError as error:
            return str(error)
        assert outcome.error is not None, outcome.log
        return outcome.error

    return reason
