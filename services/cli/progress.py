"""What a follower knows of a run: the nodes, how far each is, and what to say of an event. No input, no output."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.cli.printable import printable
from services.cli.render import duration, parse_time

FINAL = ("finished", "cancelled", "lost")


@dataclass(slots=True)
class NodeProgress:
    """One node, its latest activation."""

    id: str
    status: str = "idle"
    result: str = ""
    n: int = 0
    since: float | None = None
    """When it began by the server's clock, seconds; the same of `until`."""
    until: float | None = None
    heard: float = 0.0
    """When its beginning was heard of here, monotonic."""
    last_line: str = ""

    def elapsed(self, now: float) -> str:
        """How long it has been at it. `now` is of the monotonic clock."""
        if self.since is None:
            return ""
        return duration(now - self.heard if self.until is None else self.until - self.since)

    def begin(self, at: float) -> None:
        """It starts, or starts to work."""
        self.since, self.until, self.heard = at, None, time.monotonic()


@dataclass(slots=True)
class Progress:
    """A run, from its events."""

    ref: str
    again: str = ""
    """What a hint repeats so that it can be typed as it stands (`--server …`)."""
    nodes: dict[str, NodeProgress] = field(default_factory=dict)
    phase: str = "pending"
    outcome: str | None = None
    reason: str = ""

    def take(self, event: dict[str, Any]) -> list[str]:
        """Take an event in; what there is to say of it, without the time."""
        tag, opts = str(event["tag"]), event.get("opts") or {}
        source, at = event.get("source") or {}, _seconds(event.get("at"))
        node = printable(str(source.get("id", "")))
        match tag:
            case "sys.state":
                return self._state(str(opts.get("action", "")), opts)
            case "sys.node.start" | "sys.node.update":
                return self._moved(node, opts, at)
            case "sys.data.required":
                return self._asks(node, opts)
            case "sys.end.all":
                return self._ended(event, opts, at)
        if source.get("class") in ("task", "merge"):
            return self._result(node, tag.rpartition(".")[2], bool(event.get("good")), at)
        return []

    def _state(self, action: str, opts: dict[str, Any]) -> list[str]:
        if action == "activate":
            self.phase = "active"
            host = opts.get("host")
            return [f"started on {printable(str(host))}" if host else "started"]
        if action == "add-pend":
            return ["waits for a host"]
        return []

    def _moved(self, node_id: str, opts: Mapping[str, Any], at: float) -> list[str]:
        node = self.nodes.setdefault(node_id, NodeProgress(node_id))
        n, status = int(opts.get("activation", 0)), printable(str(opts.get("status", "")))
        if n != node.n:
            node.n, node.result, node.last_line = n, "", ""
            node.begin(at)
        changed, node.status = status != node.status, status
        if status == "running":
            node.begin(at)
        if status in FINAL:
            node.until = at
        return [f"{node_id} {_SAID.get(status, status)}"] if changed and status != "finished" else []

    def _result(self, node_id: str, suffix: str, good: bool, at: float) -> list[str]:
        node = self.nodes.setdefault(node_id, NodeProgress(node_id))
        node.status, node.until = "finished", node.until or at
        node.result = suffix if suffix in ("good", "bad", "error") else ("good" if good else "bad")
        status = f" with status {suffix}" if suffix.isdigit() else ""
        took = node.elapsed(time.monotonic())
        return [f"{node_id} {node.result}{status}" + (f" after {took}" if took else "")]

    def _asks(self, node_id: str, opts: dict[str, Any]) -> list[str]:
        node = self.nodes.setdefault(node_id, NodeProgress(node_id))
        node.status = "waiting"
        missing = [str(name) for name in opts.get("missing") or []]
        return [
            f"{node_id} waits for data",
            *form_lines(opts.get("form"), missing),
            self.how_to_answer(node_id, missing),
        ]

    def how_to_answer(self, node_id: str, missing: list[str]) -> str:
        """The command that answers a form, ready to be typed."""
        return f"type: {answer_command(self.ref, node_id, missing)}{self.again}"

    def _ended(self, event: Mapping[str, Any], opts: Mapping[str, Any], at: float) -> list[str]:
        self.phase = "archive"
        self.outcome = str(opts.get("outcome") or ("good" if event.get("good") else "bad"))
        self.reason = printable(str(opts.get("reason") or ""))
        for node in self.nodes.values():
            if node.status == "finished":
                node.result = node.result or (self.outcome if self.outcome in ("good", "bad") else "")
            elif node.status not in FINAL and node.status != "idle":
                node.status, node.until = "cancelled", at
        return []


_SAID = {"queued": "queued", "running": "started", "waiting": "waits", "cancelled": "cancelled", "lost": "lost"}


def _seconds(text: object) -> float:
    at = parse_time(text)
    return at.timestamp() if at else 0.0


def answer_command(ref: str, node_id: str, missing: list[str]) -> str:
    """`floe data REF NODE field=...`"""
    pairs = " ".join(f"{printable(name)}=..." for name in missing) or "KEY=VALUE"
    return f"floe data {ref} {node_id} {pairs}"


def form_lines(form: object, missing: list[str]) -> list[str]:
    """A line for each field that is still wanted: its prompt, and what fits."""
    fields = form.get("fields") if isinstance(form, dict) else None
    lines = []
    for item in fields if isinstance(fields, list) else []:
        if not isinstance(item, dict) or str(item.get("id")) not in missing:
            continue
        fits = {"bool": "true or false", "number": "a number"}.get(str(item.get("type")), "")
        if item.get("options"):
            fits = "one of " + ", ".join(map(str, item["options"]))
        prompt = str(item.get("prompt") or item["id"])
        lines.append(printable(f"  {item['id']}: {prompt}" + (f" ({fits})" if fits else "")))
    return lines
