"""The spawner's loop: requests of the agent, output of the tasks, ends of processes, and what is due.

One thread does all of it but starting leaders (see `orphans`) and waiting for the disk. The files that it leaves,
`log`, `tail` and `end` in a task's directory, are its memory: whoever attaches later needs nothing else.
"""

import os
import queue
import select
import signal
import socket
import threading
import time
from typing import Any

from services.agent.spawner import orphans, tree
from services.agent.spawner.link import Gone, Link, accept
from services.agent.spawner.stopping import begin_stop, go_on_stopping
from services.agent.spawner.task import Task

PROTOCOL = 1
_PULSE_SECONDS = 0.1
_UNUSED_SECONDS = 15.0
_LEASE_GRACE_SECONDS = 10.0
_RETRY_SECONDS = 1.0
_RECORDERS = 4
"""Threads that write ends while others are served: syncs that overlap share the file system's commit."""


def boot_ms() -> int:
    """The clock of leases: it goes on while the machine sleeps, and nobody can set it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Server:
    """Serves until no agent is attached and the last end is on disk."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._poll = select.epoll()
        self._link: Link | None = None
        self._tasks: dict[str, Task] = {}
        self._outputs: dict[int, Task] = {}
        self._starts: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._spawned: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._recorded: queue.SimpleQueue[tuple[Task, dict[str, Any] | None]] = queue.SimpleQueue()
        self._owners = orphans.Owners()
        self._left = False
        self._lease_ms: int | None = None
        self._unused_until = time.monotonic() + _UNUSED_SECONDS
        self._pulsed = self._retry_at = 0.0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def run(self) -> None:
        """Serve."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_by_signal(), warn_on_full_buffer=False)
        for fd in (self._listener.fileno(), self._wake, self._signals):
            self._poll.register(fd, select.EPOLLIN)
        for work in (self._spawn_all, *[self._record_all] * _RECORDERS):
            threading.Thread(target=work, daemon=True).start()
        while self._link or self._tasks or time.monotonic() < self._unused_until:
            for fd, _ in self._poll.poll(self._timeout()):
                self._on(fd)
            self._do_what_is_due()

    def _wake_by_signal(self) -> int:
        self._signals, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        return writes

    def _spawn_all(self) -> None:
        while True:
            task = self._starts.get()
            task.mark = self._owners.marks.next()
            task.spawn()
            self._spawned.put(task)
            os.eventfd_write(self._wake, 1)

    def _record_all(self) -> None:
        while True:
            task = self._ends.get()
            self._recorded.put((task, recorded(task)))
            os.eventfd_write(self._wake, 1)

    # --- what comes ---------------------------------------------------------------------------------------------

    def _on(self, fd: int) -> None:
        if fd in self._outputs:
            self._read(self._outputs[fd])
        elif fd == self._wake:
            os.eventfd_read(self._wake)
            self._on_spawned()
            while not self._recorded.empty():
                self._on_recorded(*self._recorded.get())
        elif fd == self._signals:
            os.read(self._signals, 4096)
            self._reap()
        elif fd == self._listener.fileno():
            self._attach()
        elif self._link and fd == self._link.fd:
            self._receive()

    def _attach(self) -> None:
        sock = accept(self._listener)
        if sock is None:
            return
        if self._link:
            self._receive()
            self._detach()
        self._link = Link(sock)
        self._unused_until = 0.0
        self._poll.register(self._link.fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        me = tree.read(os.getpid())
        running = [[t.key, t.started_at if t.leader else None, t.log.layout.head] for t in self._tasks.values()]
        self._tell({"is": "hello", "protocol": PROTOCOL, "pid": os.getpid(), "born": me and me.born, "tasks": running})

    def _receive(self) -> None:
        link = self._link
        try:
            if link:
                link.flush()
                link.receive(self._handle)
        except Gone:
            if self._link is link:
                self._detach()

    def _detach(self) -> None:
        if self._link:
            self._poll.unregister(self._link.fd)
            self._link.close()
            self._link = None

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            if self._link:
                self._link.send(message)
        except Gone:
            self._detach()

    def _handle(self, request: dict[str, Any]) -> None:
        match request["do"]:
            case "start":
                self._start(request)
            case "stop":
                self._stop(self._tasks.get(request["key"]), request["grace"], request.get("why", ""))
            case "lease":
                self._lease_ms = request["until_ms"]

    def _start(self, request: dict[str, Any]) -> None:
        if request["key"] in self._tasks:
            return
        try:
            task = Task(request)
        except FileExistsError:
            self._tell({"is": "refused", "key": request["key"], "why": "it was started before"})
        except OSError as error:
            self._tell({"is": "refused", "key": request["key"], "why": f"cannot write its log: {error}"})
        else:
            self._tasks[task.key] = task
            self._starts.put(task)

    # --- processes ----------------------------------------------------------------------------------------------

    def _on_spawned(self) -> None:
        while not self._spawned.empty():
            task = self._spawned.get()
            task.ready = True
            if not task.leader:
                self._finish(task)
                continue
            self._outputs[task.out] = task
            self._poll.register(task.out, select.EPOLLIN)
            self._tell({"is": "started", "key": task.key, "at": task.started_at})
            if task.stopping:
                task.scan_at = 0.0
        self._reap()

    def _read(self, task: Task) -> None:
        if not task.read():
            self._poll.unregister(task.out)
            del self._outputs[task.out]

    def _reap(self) -> None:
        ended = False
        for task in self._tasks.values():
            if task.ready and task.pid:
                pid, status = os.waitpid(task.pid, os.WNOHANG)
                if pid:
                    task.ended(status)
            ended = ended or task.to_close
        self._left = orphans.reap()
        if ended or (self._left and not self._tasks):
            self._close_ended()

    def _close_ended(self) -> None:
        """A leader's end is its task's end: what it left behind is stopped, then the task is over."""
        members = self._owners.members(self._tasks) if self._left else {}
        for task in [task for task in self._tasks.values() if task.to_close]:
            if not orphans.may_be_of(task, members):
                self._finish(task)
            elif not task.stopping:
                begin_stop(task, task.grace)
        if not self._tasks:
            for proc in members.get(None, ()):
                tree.send(proc, signal.SIGKILL)

    def _finish(self, task: Task) -> None:
        if task.out in self._outputs:
            self._poll.unregister(task.out)
            del self._outputs[task.out]
        task.close()
        if len(self._tasks) > 1:
            self._ends.put(task)
        else:
            self._on_recorded(task, recorded(task))

    def _on_recorded(self, task: Task, end: dict[str, Any] | None) -> None:
        if end is None:
            task.closing = False
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return
        del self._tasks[task.key]
        self._tell({"is": "ended", "key": task.key, "end": end})
        if self._left and not self._tasks:
            self._reap()

    def _stop(self, task: Task | None, grace: float, why: str) -> None:
        if task and not task.stopping:
            task.why = why
            begin_stop(task, grace)

    # --- what is due --------------------------------------------------------------------------------------------

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._lease_ms is not None and boot_ms() >= self._lease_ms:
            for task in self._tasks.values():
                if task.exclusive and task.status is None:
                    self._stop(task, min(task.grace, _LEASE_GRACE_SECONDS), "lease")
        due = [task for task in self._tasks.values() if task.to_stop and now >= task.scan_at]
        if due:
            members = self._owners.members(self._tasks)
            for task in due:
                go_on_stopping(task, orphans.may_be_of(task, members), now)
            self._reap()
        if self._retry_at and now >= self._retry_at:
            self._retry_at = 0.0
            self._reap()
            for task in [t for t in self._tasks.values() if t.ready and not t.leader and not t.closing]:
                self._finish(task)
        if now >= self._pulsed + _PULSE_SECONDS:
            self._pulse(now)

    def _pulse(self, now: float) -> None:
        grown = [task for task in self._tasks.values() if task.grown]
        if grown:
            self._pulsed = now
            for task in grown:
                task.grown = False
            self._tell({"is": "grew", "heads": [[task.key, task.log.layout.head] for task in grown]})

    def _timeout(self) -> float:
        """Seconds until something is due, at most 5: leases run on a clock that goes on while the machine sleeps."""
        now = time.monotonic()
        at = now + 5.0
        if self._unused_until > now:
            at = min(at, self._unused_until)
        if self._retry_at:
            at = min(at, self._retry_at)
        for task in self._tasks.values():
            if task.to_stop:
                at = min(at, task.scan_at)
            if task.grown:
                at = min(at, self._pulsed + _PULSE_SECONDS)
        if self._lease_ms is not None and any(task.exclusive for task in self._tasks.values()):
            at = min(at, now + max(0, self._lease_ms - boot_ms()) / 1000)
        return max(at - now, 0.0)


def recorded(task: Task) -> dict[str, Any] | None:
    """Its end, on disk; None when the disk refused."""
    try:
        return task.record_end()
    except OSError:
        return None
