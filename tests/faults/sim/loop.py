"""An event loop without a clock and without a world outside: time jumps to the next timer, and nothing ever waits.

Every task belongs to a `Process`. A dead process's steps are dropped where they stand, which is what kill -9 does; a
paused one's are kept until it goes on.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

OWNER: "ContextVar[Process | None]" = ContextVar("OWNER", default=None)
"""Whose code runs. Tasks and callbacks inherit it."""


class Process:
    """One life of a service. `steps` counts what it has done; at `dies_at` the loop drops it and calls `on_death`."""

    def __init__(self, name: str, kind: str, host: Any = None) -> None:
        self.name, self.kind, self.host = name, kind, host
        self.steps = 0
        self.dies_at = -1
        self.dead = False
        self.paused = False
        self.cut_until = 0.0
        """Until then nothing that it says or is told goes through."""
        self.parked: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_death: Callable[[Process], None] = lambda _: None

    def spawn(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine as part of this process."""
        context = copy_context()
        context.run(OWNER.set, self)
        return loop.create_task(work, context=context)

    def resume(self, loop: "VirtualLoop") -> None:
        """Go on after a pause."""
        self.paused = False
        parked, self.parked = self.parked, []
        loop.put_back(parked)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs handles in order, timers by their time. Two runs of the same program are the same."""

    _ready: "deque[asyncio.Handle]"
    _scheduled: "list[asyncio.TimerHandle]"

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.problems: list[str] = []
        self.set_task_factory(_make_task)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self.now

    def put_back(self, handles: "list[asyncio.Handle]") -> None:
        """What a paused process would have done meanwhile."""
        self._ready.extend(handles)

    def run(self, main: Coroutine[Any, Any, Any], most_turns: int = 5_000_000) -> None:
        """Run until `main` returns. Raises what it raises; RuntimeError when nothing is left to do before that."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
                if self.turns > most_turns:
                    raise RuntimeError(f"no end after {most_turns} turns, at {self.now:.1f} s")
            task.result()
        finally:
            asyncio._set_running_loop(before)

    def _turn(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        self.turns += 1
        handle = ready.popleft()
        if handle._cancelled:
            return
        owner = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None:
            if owner.dead:
                return
            if owner.paused:
                owner.parked.append(handle)
                return
            owner.steps += 1
            if owner.steps == owner.dies_at:
                owner.on_death(owner)
                return
        handle._run()

    def _jump(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not scheduled:
            raise RuntimeError(f"everything waits for ever, at {self.now:.1f} s")
        self.now = max(self.now, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self.now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            self._ready.append(timer)

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""


def _make_task(loop: asyncio.AbstractEventLoop, work: Any, *, context: Any = None, **_: Any) -> "asyncio.Task[Any]":
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    owner = (context or copy_context()).get(OWNER)
    if owner is not None:
        owner.tasks.append(task)
    return task


def bury(task: "asyncio.Task[Any]") -> None:
    """Unwind a task that will never go on, now rather than when memory is collected."""
    work = task.get_coro()
    for _ in range(20):
        try:
            if work is not None:
                work.close()  # type: ignore[union-attr]
        except RuntimeError:
            continue  # it awaited something on its way out
        except BaseException:
            pass
        return


async def within(seconds: float, wanted: Callable[[], Awaitable[bool]], every: float = 1.0) -> bool:
    """Ask until the answer is yes; False when `seconds` of virtual time have passed."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not await wanted():
        if loop.time() >= until:
            return False
        await asyncio.sleep(every)
    return True
