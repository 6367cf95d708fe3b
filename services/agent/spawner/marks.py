"""A mark that every descendant of a task carries, and that neither a new session nor an empty environment takes off.

It is the limit on file locks, which the kernel keeps and inherits but has not used since 2.4.25: each task gets its
own range of values, below those of the tasks before it, and starts with the highest. Only a privileged process can
raise a hard limit, and lowering it within the range changes nothing. A supervisor that runs inside a task divides what
it was left. What takes its limit out of its range all the same is nobody's: see `orphans`.
"""

import contextlib
import resource

_FILE_LOCKS = 10
_TOP, _TASKS = 1 << 62, 1 << 32


class Marks:
    """Gives them out. Only the thread that starts tasks may call `next`: the limit is set on this process."""

    def __init__(self) -> None:
        hard = resource.getrlimit(_FILE_LOCKS)[1]
        top = _TOP if hard == resource.RLIM_INFINITY else min(hard, _TOP)
        self.width = max(top // _TASKS, 1)
        self._next = top

    def next(self) -> int:
        """From now on what this process starts carries this mark; 0 when there is none left."""
        if self._next <= self.width:
            return 0
        self._next -= self.width
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(_FILE_LOCKS, (self._next, self._next))
            return self._next
        return 0


def of(pid: int) -> int:
    """The mark of a process; 0 when it has none, or is gone."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            text = file.read()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(b"Max file locks"):
            hard = line.split()[4]
            return int(hard) if hard.isdigit() else 0
    return 0
