"""Where each message goes: the only table of exchanges and routing keys (ARCHITECTURE §5)."""

import re
from dataclasses import dataclass
from functools import lru_cache

from shared.bus import messages as m
from shared.bus import port

IN, AGENTS, HINT, LIVE_EXCHANGE, DEAD_EXCHANGE = "floe.in", "floe.agents", "floe.hint", "floe.live", "floe.dead"


@dataclass(frozen=True, slots=True)
class Route:
    """An exchange, a routing key, and whether the message is kept."""

    exchange: str
    key: str
    kept: bool


def route(message: m.Message) -> Route:  # noqa: C901 - one flat table
    """Where a message goes. Raises TypeError for a type that has no place."""
    match message:
        case m.TriggerReceived():
            return Route(IN, f"trigger.{message.trigger_type}", kept=True)
        case m.CancelRequested() | m.HostDeleted():
            return Route(IN, "control.run", kept=True)
        case m.DataProvided():
            return Route(IN, "data.run", kept=True)
        case m.OutputChunk():
            return Route(AGENTS, f"agent.{message.host}.log", kept=True)
        case m.AcceptedReport() | m.StartedReport() | m.FinishedReport():
            return Route(AGENTS, f"agent.{message.host}.task", kept=True)
        case m.Beat():
            return Route(AGENTS, f"agent.{message.host}.beat", kept=False)
        case m.DispatcherEcho():
            return Route(AGENTS, "agent.floe-echo.beat", kept=False)
        case m.RunAssigned() | m.HostGone():
            return Route(HINT, "assigned.run", kept=False)
        case m.PendAdded():
            return Route(HINT, "pend.run", kept=False)
        case m.ClaimsReleased():
            return Route(HINT, "released.run", kept=False)
        case m.TaskOffered() | m.StopRequested() | m.ReportSettled() | m.OutputSettled() | m.BeatAnswered():
            return Route(HINT, f"host.{message.host}", kept=False)
        case m.RunEvents() | m.TriggerSettled() | m.LogGrew():
            return Route(LIVE_EXCHANGE, "live", kept=False)
        case m.DeadLetter():
            return Route(DEAD_EXCHANGE, "", kept=True)
        case _:
            raise TypeError(f"{type(message).__name__} has no route")


BINDINGS: tuple[tuple[str, str, port.Queue], ...] = (
    (IN, "trigger.#", port.TRIGGERS),
    (IN, "control.#", port.CONTROL),
    (IN, "data.#", port.CONTROL),
    (AGENTS, "agent.*.task", port.REPORTS),
    (AGENTS, "agent.*.log", port.LOGS),
    (AGENTS, "agent.*.beat", port.BEATS),
    (HINT, "assigned.#", port.HUB_HINTS),
    (HINT, "pend.#", port.DISPATCHER),
    (HINT, "released.#", port.DISPATCHER),
    (LIVE_EXCHANGE, "#", port.LIVE),
    (DEAD_EXCHANGE, "#", port.DEAD),
)
"""Which queue an exchange's keys lead to; an agent's queue is bound to `agent_key` besides. No key has two queues."""

AGENT_KEY_PREFIX = "host."


def agent_key(host: str) -> str:
    """The key of hints to one agent, on the exchange HINT."""
    return AGENT_KEY_PREFIX + host


@lru_cache(maxsize=8192)
def queue_of(way: Route) -> port.Queue:
    """The queue that a route leads to. Raises LookupError when there is none."""
    if way.exchange == HINT and way.key.startswith(AGENT_KEY_PREFIX):
        return port.agent_queue(way.key.removeprefix(AGENT_KEY_PREFIX))
    for exchange, pattern, queue in BINDINGS:
        if exchange == way.exchange and _matches(pattern, way.key):
            return queue
    raise LookupError(f"no queue is bound to {way.exchange} for {way.key!r}")


def _matches(pattern: str, key: str) -> bool:
    """A topic exchange's rule, for `*` (one word) anywhere and `#` (the rest) at the end."""
    wanted = re.escape(pattern).replace(r"\*", r"[^.]+").replace(r"\#", ".*")
    return re.fullmatch(wanted, key, re.DOTALL) is not None
