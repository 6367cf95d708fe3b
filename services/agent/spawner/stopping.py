"""How the processes of a task are ended: terminate to every one, then kill after the grace (FLOWS N-05)."""

import contextlib
import os
import signal
import time

from services.agent.spawner import tree
from services.agent.spawner.task import Task

_LOOK_AGAIN_SECONDS = 0.2
_KILL_AGAIN_SECONDS = 0.02


def begin_stop(task: Task, grace: float) -> None:
    """From now on every process of the task is told to end; after `grace` seconds it is killed."""
    now = time.monotonic()
    task.kill_at = now + grace
    task.scan_at = now


def go_on_stopping(task: Task, members: list[tree.Proc], now: float) -> None:
    """Signal those that are left, the ones too that appeared since the last look. Sets when to look again."""
    if task.kill_at is not None and now >= task.kill_at:
        _kill(members)
        task.scan_at = now + _KILL_AGAIN_SECONDS
        return
    for proc in members:
        if (proc.pid, proc.born) not in task.termed:
            task.termed.add((proc.pid, proc.born))
            tree.send(proc, signal.SIGTERM)
            tree.send(proc, signal.SIGCONT)
    task.scan_at = min(now + _LOOK_AGAIN_SECONDS, task.kill_at or now)


def _kill(members: list[tree.Proc]) -> None:
    """Whole groups first: that is one step for the kernel, which nothing that forks can outrun."""
    own = os.getpgid(0)
    pids = {proc.pid for proc in members}
    for group in {proc.pgid for proc in members if proc.pgid in pids} - {own, 0}:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for proc in members:
        tree.send(proc, signal.SIGKILL)
