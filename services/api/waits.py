"""Waiting for what a trigger leads to: adopted, or ended with its output stored (API.md, `?wait`).

The live messages carry all that the answer needs, so the usual wait reads nothing. When they are silent, or when this
reader fell behind, the store is asked.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from services.api import views
from services.api.desk import Desk
from services.api.live import Taken, Watch
from services.api.views import Json
from shared.bus.messages import LogGrew, Message, RunEvents, TriggerSettled
from shared.runs.refs import RunRef
from shared.store.port import RunFilter, StoreUnavailable

Goal = Literal["adopted", "ended"]
Gone = Callable[[], Awaitable[bool]]
"""Whether the one who waits has gone away."""
_MOST_RUNS = 1000
_SLOWEST_POLL = 5.0


@dataclass(slots=True)
class Logs:
    """What is known of a run's output: lengths that were announced, and how far it is stored."""

    announced: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    all_said: bool = True
    """Whether every report of an end was heard, with its length."""

    def gaps(self) -> list[tuple[int, int, int]]:
        """(activation, stored, announced) of what is still missing."""
        known = ((n, self.stored.get(n, 0), length) for n, length in sorted(self.announced.items()))
        return [(n, stored, length) for n, stored, length in known if stored < length]


@dataclass(slots=True)
class Followed:
    """What a trigger has led to, as far as it is known here."""

    trigger_id: str
    runs: dict[str, Json] = field(default_factory=dict)
    logs: dict[str, Logs] = field(default_factory=dict)
    settled: bool = False
    why: str | None = None

    def apply(self, message: Message) -> None:
        """Learn from what was said live."""
        match message:
            case RunEvents():
                if message.trigger_id == self.trigger_id:
                    self.runs[message.run] = views.live_brief(message)
                    self._announced(message)
            case TriggerSettled():
                self.settled = True
                for ref in message.runs:
                    self.runs.setdefault(ref, {})
            case LogGrew():
                stored = self.logs.setdefault(message.run, Logs()).stored
                stored[message.n] = max(message.length, stored.get(message.n, 0))
            case _:
                pass

    def _announced(self, message: RunEvents) -> None:
        logs = self.logs.setdefault(message.run, Logs())
        if message.logs is None:
            logs.all_said = False
        else:
            logs.announced.update(message.logs)

    def reached(self, goal: Goal) -> bool:
        """Whether there is nothing more to wait for. A run that is only known by name has to be looked up first."""
        if not self.runs:
            return self.settled and self.why is not None
        if not all(self.runs.values()):
            return False
        return goal == "adopted" or all(run["phase"] == "archive" for run in self.runs.values())

    def forget_logs(self) -> None:
        """Something was missed: what was announced is not known any more."""
        for ref in self.runs:
            self.logs.setdefault(ref, Logs()).all_said = False

    @property
    def made_nothing(self) -> bool:
        """Whether no run came of it; only the store can say why."""
        return self.settled and not self.runs


async def follow(desk: Desk, watch: Watch, followed: Followed, goal: Goal, seconds: float, gone: Gone) -> bool:
    """Wait until the goal is reached; False when the time was over first, the client is gone, or the service stops."""
    deadline, poll = time.monotonic() + seconds, desk.config.poll_seconds
    while not followed.reached(goal):
        left = deadline - time.monotonic()
        taken = await watch.take(max(0.0, min(poll, left)))
        for message in taken.messages:
            followed.apply(message)
        if taken.closed or (left <= 0 and not taken.messages):
            return followed.reached(goal)
        if _quiet(taken) or followed.made_nothing:
            followed.forget_logs()
            with suppress(StoreUnavailable):
                await look_up(desk, followed)
        if _quiet(taken):
            if await gone():
                return False
            poll = min(poll * 1.5, _SLOWEST_POLL)
    return True


def _quiet(taken: Taken) -> bool:
    return taken.missed or not taken.messages


async def look_up(desk: Desk, followed: Followed) -> None:
    """Learn from the store what became of the trigger."""
    row = await desk.store.trigger(followed.trigger_id)
    if row is None or row.state == "inbox":
        return
    followed.settled = True
    for run in await desk.store.runs(RunFilter(trigger=followed.trigger_id), _MOST_RUNS):
        followed.runs[run.ref] = views.run_brief(run)
    if not followed.runs:
        followed.why = "; ".join(f"{v.flow}: {v.why}" for v in row.verdicts) or "no flow matched"


async def settle_logs(desk: Desk, watch: Watch, followed: Followed) -> Sequence[Json]:
    """Wait until all announced output of the ended runs is stored; after the grace, what is missing."""
    deadline = time.monotonic() + desk.config.log_grace_seconds
    for ref in followed.runs:
        with suppress(StoreUnavailable):
            await _announced_by_store(desk, ref, followed.logs.setdefault(ref, Logs()))
    while gaps := _gaps(followed):
        left = deadline - time.monotonic()
        if left <= 0:
            return gaps
        taken = await watch.take(min(left, 0.25))
        if taken.closed:
            return gaps
        for message in taken.messages:
            followed.apply(message)
        if _quiet(taken):
            with suppress(StoreUnavailable):
                await _stored_by_store(desk, followed)
    return []


def _gaps(followed: Followed) -> list[Json]:
    return [
        {"ref": ref, "activation": n, "stored": stored, "announced": announced}
        for ref in followed.runs
        for n, stored, announced in followed.logs[ref].gaps()
    ]


async def _announced_by_store(desk: Desk, ref: str, logs: Logs) -> None:
    if logs.all_said:
        return
    run = await desk.store.run(RunRef(ref))
    for activation in run.activations if run is not None else ():
        if activation.log_length:
            logs.announced[activation.n] = activation.log_length
    await _measure(desk, ref, logs)


async def _stored_by_store(desk: Desk, followed: Followed) -> None:
    for ref in followed.runs:
        await _measure(desk, ref, followed.logs[ref])


async def _measure(desk: Desk, ref: str, logs: Logs) -> None:
    for n, _, _ in logs.gaps():
        logs.stored[n] = await desk.store.output_length(RunRef(ref), n)
