"""A run as it happens: its events in order without gaps, and the output of its tasks, whatever breaks in between.

Threads read the two kinds of streams into one bounded queue; the events are put in order by their `seq`, and what a
stream missed is read from the run's event log. So a server that restarts costs a pause and nothing else.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from services.cli.client import Client, path_of
from services.cli.progress import FINAL
from shared.errors import FloeError, Unavailable

_MOST_LOGS = 64
_STREAM_SILENT_SECONDS = 45.0
_LOG_SILENT_SECONDS = 120.0
_LOGS_GRACE_SECONDS = 10.0
_CHECK_SECONDS, _CHECK_SECONDS_UNCONNECTED = 5.0, 0.5
_LONGEST_PAUSE = 2.0
_END_SECONDS = 1.0
"""How long after a log's end the end of its node may be heard of."""
_WITHOUT_LOG = ("data", "timer", "end", "all", "any", "one")


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the run, as API.md has it."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Printed:
    """Bytes of an activation's output, in order. Empty bytes: there will be no more."""

    node: str
    n: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Broke:
    """The server cannot be reached; it is tried again."""

    why: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """It can be reached again."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing for a tenth of a second or so: time to draw."""


Happening = Happened | Printed | Broke | Resumed | Nothing


@dataclass(frozen=True, slots=True)
class _Failed:
    error: FloeError


class Watch:
    """Follows one run. Its threads are daemons: leaving a watch behind costs nothing but the process's end."""

    def __init__(self, client: Client, ref: str, nodes: dict[str, str]) -> None:
        self._client, self._ref, self._types = client, ref, nodes
        self._queue: queue.Queue[Happened | Printed | Broke | Resumed | _Failed] = queue.Queue(1000)
        self._slots = threading.BoundedSemaphore(_MOST_LOGS)
        self._seq, self._ended, self._open_logs = 0, False, 0
        self._connected = threading.Event()
        self._over: dict[str, list[threading.Event]] = {}
        """By node: to be set once its end has been heard of."""
        self._checked_at, self._heard_at = 0.0, time.monotonic()

    def happenings(self) -> Iterator[Happening]:
        """All from the run's first event to its last, with the output; then stops. Raises what can not be helped."""
        threading.Thread(target=self._read_events, daemon=True).start()
        while not self._ended or self._open_logs:
            if self._ended and time.monotonic() - self._heard_at > _LOGS_GRACE_SECONDS:
                return
            yield from self._next()

    def _next(self) -> Iterator[Happening]:
        try:
            found = self._queue.get(timeout=0.1)
        except queue.Empty:
            yield Nothing()
            yield from self._check()
            return
        self._heard_at = time.monotonic()
        match found:
            case _Failed(error):
                raise error
            case Happened(event):
                yield from self._in_order(event)
            case Printed(data=b""):
                self._open_logs -= 1
                yield found
            case _:
                yield found

    def _in_order(self, event: dict[str, Any]) -> Iterator[Happened]:
        seq = int(event["seq"])
        if seq <= self._seq or self._ended:
            return
        if seq > self._seq + 1:
            yield from self._catch_up()
        if seq == self._seq + 1:
            yield self._take(event)

    def _take(self, event: dict[str, Any]) -> Happened:
        self._seq = int(event["seq"])
        opts = event.get("opts") or {}
        node = str((event.get("source") or {}).get("id", ""))
        if event["tag"] == "sys.node.start" and self._types.get(node) not in _WITHOUT_LOG:
            self._open_log(node, int(opts["activation"]))
        self._ended = event["tag"] == "sys.end.all"
        if self._ended or opts.get("status") in FINAL or str(event["tag"]).startswith("task."):
            for over in [over for name, each in self._over.items() if self._ended or name == node for over in each]:
                over.set()
        return Happened(event)

    def _open_log(self, node: str, n: int) -> None:
        self._open_logs += 1
        over = threading.Event()
        self._over.setdefault(node, []).append(over)
        threading.Thread(target=self._read_log, args=(node, n, over), daemon=True).start()

    def _check(self) -> Iterator[Happened]:
        """Ask for events now and then: a stream may be silent because it lost what came last."""
        every = _CHECK_SECONDS if self._connected.is_set() else _CHECK_SECONDS_UNCONNECTED
        if not self._ended and time.monotonic() - self._checked_at > every:
            self._checked_at = time.monotonic()
            yield from self._catch_up()

    def _catch_up(self) -> Iterator[Happened]:
        try:
            while not self._ended:
                page = self._client.get(path_of("runs", self._ref, "events"), after=self._seq)
                for event in page["items"]:
                    if int(event["seq"]) == self._seq + 1:
                        yield self._take(event)
                if not page.get("next") or not page["items"]:
                    return
        except Unavailable:
            self._connected.clear()

    # --- threads: they touch nothing but the queue, the client and their own locals ---------------------------------

    def _read_events(self) -> None:
        pause, last, broken = 0.1, 0, False
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(last)} if last else {})}
            try:
                silent = _STREAM_SILENT_SECONDS
                with self._client.stream("/events", silent_seconds=silent, headers=headers, run=self._ref) as stream:
                    self._connected.set()
                    if broken:
                        self._queue.put(Resumed())
                    pause, broken = 0.1, False
                    for event in stream.events():
                        if isinstance(event, dict) and event.get("run") == self._ref and "seq" in event:
                            last = max(last, int(event["seq"]))
                            self._queue.put(Happened(event))
            except Unavailable as error:
                if not broken and not str(error).startswith("the connection broke"):
                    self._queue.put(Broke(str(error)))
                    broken = True
            except FloeError as error:
                self._queue.put(_Failed(error))
                return
            self._connected.clear()
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _read_log(self, node: str, n: int, over: threading.Event) -> None:
        with self._slots:
            try:
                for data in follow_log(self._client, self._ref, node, n, lambda: over.wait(_END_SECONDS)):
                    self._queue.put(Printed(node, n, data))
            except FloeError as error:
                self._queue.put(Printed(node, n, f"[no log: {error}]\n".encode()))
        self._queue.put(Printed(node, n, b""))


def follow_log(client: Client, ref: str, node: str, n: int | None, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """A node's output until its end, taken up again where a connection broke.

    A stream that ends while `is_over` says no was ended by a server that stops. Raises what trying again cannot help.
    """
    offset, pause = 0, 0.1
    path, silent = path_of("runs", ref, "nodes", node, "log"), _LOG_SILENT_SECONDS
    while True:
        try:
            with client.stream(path, silent_seconds=silent, offset=offset, follow=True, activation=n) as stream:
                for data in stream.chunks():
                    offset, pause = offset + len(data), 0.1
                    yield data
            if is_over():
                return
        except Unavailable:
            if offset == 0 and n is None:
                raise
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
