"""`run --follow`, `logs -f`: a live view on a terminal, plain lines in a pipe. Logs to stdout, progress to stderr."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, Protocol

from services.cli.client import Client, path_of
from services.cli.options import Remote, all_items, reasons_of
from services.cli.printable import Lines
from services.cli.progress import NodeProgress, Progress
from services.cli.render import coloured, say, took
from services.cli.watch import Broke, Happened, Happening, Printed, Resumed, Watch
from shared.errors import FloeError

_ASK_WHY_SECONDS = 3.0


class View(Protocol):
    """Where what is followed is shown."""

    def line(self, node: str, text: str) -> None:
        """A line of a node's output."""

    def raw(self, data: bytes) -> None:
        """Output as it came."""

    def say(self, text: str) -> None:
        """A line of progress."""

    def tick(self) -> None:
        """Draw anew what moves."""


class PlainView:
    """Lines for a pipe or a file: `[node] text` to stdout, `12:03:04 build started` to stderr."""

    def line(self, node: str, text: str) -> None:
        sys.stdout.write(f"[{node}] {text}\n")

    def raw(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)

    def say(self, text: str) -> None:
        sys.stdout.flush()
        say(f"{datetime.now().astimezone():%H:%M:%S} {text}")

    def tick(self) -> None:
        sys.stdout.flush()


class Follower:
    """Shows one run until it ends. `deadline` is of the monotonic clock."""

    def __init__(self, remote: Remote, ref: str, *, raw: bool = False, deadline: float | None = None) -> None:
        self._client, self._raw, self._deadline = remote.client, raw, deadline
        self.progress = Progress(ref, remote.again)
        self._lines: dict[tuple[str, int], Lines] = {}
        self._ask_at, self._reasons = time.monotonic() + _ASK_WHY_SECONDS / 2, ""

    def follow(self, node: str | None = None) -> bool:
        """True when the run has ended, False when the deadline came first. `node`: only its output."""
        detail = run_detail(self._client, self.progress.ref)
        types = {str(item["id"]): str(item.get("type", "")) for item in detail.get("nodes", [])}
        for item in _in_levels(detail):
            self.progress.nodes[item] = NodeProgress(item)
        view, context = self._view()
        with context:
            for happening in Watch(self._client, self.progress.ref, types).happenings():
                self._show(view, happening, node)
                if self._deadline is not None and time.monotonic() > self._deadline:
                    view.tick()
                    return False
            view.tick()
        return True

    def _say_why_it_waits(self, view: View) -> None:
        """For a run that finds no host at once: every reason, again when they change."""
        if self.progress.phase != "pending" or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + _ASK_WHY_SECONDS
        try:
            reasons = why_pending(self._client, self.progress.ref)
        except FloeError:
            return
        if reasons and reasons != self._reasons:
            self._reasons = reasons
            view.say(f"waits: {reasons}")

    def _view(self) -> tuple[View, AbstractContextManager[object]]:
        if sys.stderr.isatty() and not self._raw:
            from services.cli.live import LiveView

            live = LiveView(self.progress)
            return live, live
        return PlainView(), nullcontext()

    def _show(self, view: View, happening: Happening, node: str | None) -> None:
        match happening:
            case Happened(event):
                for text in self.progress.take(event):
                    view.say(text)
            case Printed(node=name) if node is None or node == name:
                self._print(view, happening)
            case Broke(why):
                view.say(f"{why}; trying again")
            case Resumed():
                view.say("connected again")
            case _:
                self._say_why_it_waits(view)
                view.tick()

    def _print(self, view: View, printed: Printed) -> None:
        if self._raw:
            view.raw(printed.data)
            return
        key = (printed.node, printed.n)
        lines = self._lines.setdefault(key, Lines())
        found = lines.feed(printed.data) if printed.data else self._lines.pop(key).finish()
        for text in found:
            view.line(printed.node, text)
        if found and printed.node in self.progress.nodes:
            self.progress.nodes[printed.node].last_line = found[-1]


def why_pending(client: Client, ref: str) -> str:
    """Why a run waits for a host, in words; empty when it does not wait, or nothing keeps it."""
    pends = [item for item in all_items(client, "/pends") if item.get("ref") == ref]
    return "; ".join(reasons_of(pends[0])) if pends else ""


def run_detail(client: Client, ref: str) -> dict[str, Any]:
    """`GET /runs/{ref}`."""
    detail: dict[str, Any] = client.get(path_of("runs", ref))
    return detail


def _in_levels(detail: dict[str, Any]) -> list[str]:
    """Tasks and merges in the order of the graph's levels; triggers have nothing to show."""
    tasks = [str(item["id"]) for item in detail.get("nodes", []) if item.get("class") != "trigger"]
    levels = (detail.get("graph") or {}).get("levels") or []
    ordered = [node for level in levels for node in (level if isinstance(level, list) else []) if node in tasks]
    return list(dict.fromkeys([*map(str, ordered), *tasks]))


def summary(detail: dict[str, Any]) -> str:
    """One line: how a run ended."""
    outcome = detail.get("outcome") or detail.get("phase")
    reason = f": {detail['reason']}" if detail.get("reason") else ""
    return (
        f"{detail['ref']} {coloured(str(outcome))} in {took(detail.get('created_at'), detail.get('ended_at'))}{reason}"
    )


def wait_for_outcome(fetch: Callable[[], dict[str, Any]], seconds: float = 5.0) -> dict[str, Any]:
    """The run's detail once it is archived there: the last event may be seen a moment before."""
    until = time.monotonic() + seconds
    while (detail := fetch()).get("phase") != "archive" and time.monotonic() < until:
        time.sleep(0.02)
    return detail
