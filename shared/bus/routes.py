"""Where each message goes: the only table of exchanges and routing keys (ARCHITECTURE §5)."""

from dataclasses import dataclass

from shared.bus import messages as m

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
