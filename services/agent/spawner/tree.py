"""Processes as /proc shows them: who descends from whom, and who belongs to which task.

Also used by the agent, when no spawner is left that could say what descends from it.
"""

import os
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

MARKER = "FLOE_ACTIVATION_KEY"
"""The environment name by which every process of a task can be found, whatever session it moved to."""


class Proc(NamedTuple):
    """One process. `born` is its start time in clock ticks since boot: pid and born together are never reused."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    born: int


def read(pid: int) -> Proc | None:
    """What /proc says about a process; None once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Proc(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def now() -> int:
    """A process that starts from now on has at least this `born`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def table() -> dict[int, Proc]:
    """Every process there is. Costs about 12 µs each, so: only when something is to be stopped."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (proc := read(int(name))) is not None:
            found[proc.pid] = proc
    return found


def below(roots: Iterable[int], procs: dict[int, Proc]) -> list[Proc]:
    """The processes of `roots` and all that descend from them."""
    children: dict[int, list[Proc]] = {}
    for proc in procs.values():
        children.setdefault(proc.ppid, []).append(proc)
    found = [procs[pid] for pid in dict.fromkeys(roots) if pid in procs]
    seen = {proc.pid for proc in found}
    for proc in found:
        for child in children.get(proc.pid, ()):
            if child.pid not in seen:
                seen.add(child.pid)
                found.append(child)
    return found


def marker(pid: int) -> str | None:
    """The activation that a process was started for, as its environment says; None when it says nothing."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return None
    name = MARKER.encode() + b"="
    for entry in environ.split(b"\0"):
        if entry.startswith(name):
            return os.fsdecode(entry[len(name) :])
    return None


def holds(pid: int, target: str) -> bool:
    """Whether a process has `target` open (a link in /proc/PID/fd, as `pipe:[123]`)."""
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{name}") == target:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


def send(proc: Proc, number: int) -> None:
    """Signal that very process, not another one that got its pid meanwhile."""
    try:
        fd = os.pidfd_open(proc.pid)
    except OSError:
        return
    try:
        found = read(proc.pid)
        if found is not None and found.born == proc.born:
            signal.pidfd_send_signal(fd, number)
    except OSError:
        pass
    finally:
        os.close(fd)


def marked(prefix: str) -> list[Proc]:
    """All processes whose marker starts with `prefix`, all of their sessions, and all that descends from them."""
    procs = table()
    roots = {pid for pid in procs if (marker(pid) or "").startswith(prefix)}
    own = os.getsid(0)
    sessions = {procs[pid].sid for pid in roots} - {own, 0}
    roots |= {pid for pid, proc in procs.items() if proc.sid in sessions}
    return [proc for proc in below(roots, procs) if proc.pid != os.getpid()]


def kill_marked(markers: list[str]) -> None:
    """Kill every process of these activations, until none is left. Blocks for some milliseconds, 5 s at most."""
    until = time.monotonic() + 5.0
    while time.monotonic() < until:
        found = [proc for marker in markers for proc in marked(marker)]
        if not found:
            return
        for proc in found:
            send(proc, signal.SIGKILL)
        time.sleep(0.01)
