"""Which processes outlived their task's leader, known exactly and at once.

All leaders are started by one thread of the spawner; whatever loses its parent comes to the main thread, because the
spawner is a subreaper. So "has the main thread any child?" (`__WNOTHREAD`) is one system call that tells whether
anything is left of anything, and /proc has to be walked only when there is.
"""

import ctypes
import os
from collections.abc import Iterable

from services.agent.spawner import marks, tree
from services.agent.spawner.task import Task

_SET_CHILD_SUBREAPER, _SET_DUMPABLE = 36, 4
_WNOTHREAD = 0x20000000


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, and its memory and environment unreadable."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def reap() -> bool:
    """Reap the orphans that have ended. True when some are left."""
    try:
        while os.waitpid(-1, os.WNOHANG | _WNOTHREAD)[0]:
            pass
    except ChildProcessError:
        return False
    return True


Members = dict[str | None, list[tree.Proc]]
"""Living processes by the key of their task; under None those that nothing ties to one."""


def may_be_of(task: Task, members: Members) -> list[tree.Proc]:
    """The processes that have to be gone before the task's end is told: its own, and once its leader has ended those
    too that cannot be told apart and may be its own, whoever's they are."""
    own = members.get(task.key, [])
    if not task.mark or task.status is None:
        return own
    return own + [proc for proc in members.get(None, ()) if proc.born >= task.born]


class Owners:
    """Tells which task a process belongs to: by the mark it carries, else by having been seen before, its environment,
    session or group, its output."""

    def __init__(self) -> None:
        self.marks = marks.Marks()
        self._seen: dict[tuple[int, int], str] = {}

    def members(self, tasks: dict[str, Task]) -> Members:
        """All of them there are."""
        procs = tree.table()
        own = os.getpid()
        roots: dict[str | None, list[int]] = {}
        leaders = {task.pid: task.key for task in tasks.values() if task.pid}
        for proc in procs.values():
            if proc.ppid == own:
                key = leaders.get(proc.pid) or self._owner(proc, tasks)
                roots.setdefault(key, []).append(proc.pid)
        found = {key: tree.below(pids, procs) for key, pids in roots.items()}
        self._seen = {(p.pid, p.born): key for key, members in found.items() if key for p in members}
        return found

    def _owner(self, proc: tree.Proc, tasks: dict[str, Task]) -> str | None:
        """Whose an orphan is; that of the only task there is when nothing says so."""
        carried = marks.of(proc.pid)
        for task in tasks.values():
            if carried and task.mark - self.marks.width < carried <= task.mark:
                return task.key
        known = self._seen.get((proc.pid, proc.born))
        if known in tasks:
            return known
        mark = tree.marker(proc.pid)
        for task in tasks.values():
            if mark == task.marker or task.leader in (proc.sid, proc.pgid):
                return task.key
        found = _holder(proc, (task for task in tasks.values() if task.pipe))
        return next(iter(tasks)) if found is None and len(tasks) == 1 else found


def _holder(proc: tree.Proc, tasks: Iterable[Task]) -> str | None:
    """The task whose output the process still has open."""
    for task in tasks:
        if tree.holds(proc.pid, task.pipe):
            return task.key
    return None
