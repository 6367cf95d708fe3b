"""The run machine: `step(program, run, input) -> (run, effects)`. Pure: no clock, no randomness, no I/O, no logging.

Hub, simulation, replay and every property test call this one function. An input that does not fit the state (a
duplicate, a late one, one of another epoch) changes nothing. Rules carry their FLOWS ids; how a single node starts
and ends is in `nodes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from shared.runs import nodes
from shared.runs.draft import Draft, Stepped
from shared.runs.effects import EndRun, SetTimer, StopTask
from shared.runs.events import (
    Assigned,
    Cancel,
    DataSubmitted,
    HostLost,
    Input,
    TaskAccepted,
    TaskFinished,
    TaskStarted,
    TimerFired,
)
from shared.runs.program import Program
from shared.runs.refs import RunRef
from shared.runs.state import FINAL, Activation, Outcome, RunState


@dataclass(frozen=True, slots=True)
class Cause:
    """What started a run: the trigger's id, its type, and the trigger node that matched."""

    trigger_id: str
    type: str
    node: str


def adopt(ref: RunRef, cause: Cause, opts: Mapping[str, Any], at: datetime) -> Stepped:
    """A new run, pending (FLOWS E-01: its first event is `sys.state add-pend`, which carries the trigger)."""
    draft = Draft(RunState(ref, opts=opts, trigger_node=cause.node, created_at=at), at)
    trigger = {"id": cause.trigger_id, "type": cause.type, "node": cause.node, "opts": opts}
    draft.emit("sys.state", "sys", "", {"action": "add-pend", "trigger": trigger})
    return draft.finish()


def step(program: Program, run: RunState, event: Input) -> Stepped:
    """Advance a run by one input. The same run and input give the same result; the given run is not changed."""
    draft = Draft(run, event.at)
    match event:
        case Assigned():
            _assigned(program, draft, event)
        case TaskAccepted() | TaskStarted() | TaskFinished():
            _reported(program, draft, event)
        case HostLost():
            _host_lost(program, draft, event)
        case DataSubmitted():
            _data_submitted(program, draft, event)
        case TimerFired():
            _timer_fired(program, draft, event)
        case Cancel():
            _cancelled(program, draft, event)
        case _:
            assert_never(event)
    _settle(program, draft)
    draft.free_claims_if_idle()
    return draft.finish()


# --- inputs ----------------------------------------------------------------------------------------------------------


def _assigned(program: Program, draft: Draft, event: Assigned) -> None:
    run = draft.run
    if run.phase != "pending" or (run.host is None and event.epoch <= run.epoch):
        return
    if run.host is not None and (run.host, run.epoch) != (event.host, event.epoch):
        return
    draft.set(phase="active", host=event.host, epoch=event.epoch, started_at=event.at)
    draft.emit("sys.state", "sys", "", {"action": "activate", "host": event.host})
    draft.emit("sys.state", "sys", "", {"action": "remove-pend"})
    draft.emit("trigger.good", "trigger", draft.run.trigger_node, draft.run.opts)
    if program.timeout_seconds is not None:
        draft.effects.append(SetTimer(0, "timeout", event.at + timedelta(seconds=program.timeout_seconds)))


def _reported(program: Program, draft: Draft, event: TaskAccepted | TaskStarted | TaskFinished) -> None:
    activation = draft.open.get(event.n)
    if activation is None or activation.process != "out" or event.epoch != draft.run.epoch:
        return
    match event:
        case TaskAccepted():
            if not activation.accepted:
                draft.put(activation, accepted=True)
        case TaskStarted():
            if activation.started_at is None:
                nodes.started(program, draft, activation, event.at)
        case TaskFinished():
            nodes.process_gone(program, draft, activation, event)


def _host_lost(program: Program, draft: Draft, event: HostLost) -> None:
    """FLOWS N-11. All its processes are lost at once; then each loss is an event like any other."""
    if event.host != draft.run.host:
        return
    out = [a for a in draft.open.values() if a.process == "out"]
    reason = f"host {event.host} {'deleted' if event.gone else 'lost'}{f': {event.why}' if event.why else ''}"
    if draft.run.phase == "archive":
        for activation in out:
            draft.put(activation, process="gone")
        return
    if out:
        draft.set(host_lost=True)
    lost = [nodes.lose(program, draft, activation, reason) for activation in out]
    for activation in lost:
        nodes.emit_result(program, draft, activation, {})
    _route(program, draft)
    if event.gone and draft.run.phase == "active":
        end_run(program, draft, "bad", reason)


def _data_submitted(program: Program, draft: Draft, event: DataSubmitted) -> None:
    waiting = [
        activation
        for activation in draft.open.values()
        if activation.node == event.node
        and activation.type == "data"
        and activation.phase == "waiting"
        and event.n in (0, activation.n)
    ]
    if waiting and draft.run.phase == "active":
        nodes.submit(program, draft, max(waiting, key=lambda a: a.n), event.values)


def _timer_fired(program: Program, draft: Draft, event: TimerFired) -> None:
    if event.n == 0:
        draft.clear_timer(0, event.kind)
        if draft.run.phase == "active" and _run_is_over_time(program, draft):
            end_run(program, draft, "bad", f"timed out after {nodes.in_words(program.timeout_seconds or 0)}")
        return
    activation = draft.open.get(event.n)
    if activation is None or activation.phase in FINAL:
        draft.clear_timer(event.n, event.kind)
    elif event.kind == "wait":
        nodes.wait_is_over(program, draft, activation)
    else:
        nodes.over_time(program, draft, activation)


def _run_is_over_time(program: Program, draft: Draft) -> bool:
    started = draft.run.started_at
    limit = program.timeout_seconds
    return started is not None and limit is not None and draft.at >= started + timedelta(seconds=limit)


def _cancelled(program: Program, draft: Draft, event: Cancel) -> None:
    """FLOWS N-09; of a pend E-04: it is taken off the list first."""
    if draft.run.phase == "pending":
        draft.emit("sys.state", "sys", "", {"action": "remove-pend"})
    if draft.run.phase != "archive":
        end_run(program, draft, "cancelled", event.reason)


# --- what events do --------------------------------------------------------------------------------------------------


def _settle(program: Program, draft: Draft) -> None:
    """Route events until none is left; then N-05 (c): a run in which nothing is open has ended."""
    _route(program, draft)
    run = draft.run
    if run.phase != "active" or draft.out or draft.waiting:
        return
    stalled = draft.merges_half_full()
    if not stalled:
        end_run(program, draft, "good", "")
        return
    end_run(program, draft, "bad", "; ".join(_stalled(program, activation) for activation in stalled))


def _stalled(program: Program, activation: Activation) -> str:
    node = program.node(activation.node)
    wanted = node.wait if node else ()
    return f"stalled: merge {activation.node} waits for {', '.join(t for t in wanted if t not in activation.came)}"


def _route(program: Program, draft: Draft) -> None:
    while draft.queue and draft.run.phase == "active":
        event = draft.queue.popleft()
        listening = program.listeners(event.tag)
        if not listening and not event.good:
            end_run(program, draft, "bad", draft.why(event))
        for node in listening:
            if draft.run.phase != "active":
                break
            problem = nodes.arrive(program, draft, node, event)
            if problem is not None:
                end_run(program, draft, *problem)
    draft.queue.clear()


def end_run(program: Program, draft: Draft, outcome: Outcome, reason: str) -> None:
    """Archive the run (N-05): whatever is open is closed or told to stop, and `sys.end.all` is its last event."""
    for activation in sorted(draft.open.values(), key=lambda a: a.n):
        if activation.process == "out" and activation.phase not in FINAL and activation.stopping is None:
            draft.effects.append(StopTask(activation.n, reason or "the run ended"))
        nodes.abandon(program, draft, activation, reason)
    if program.timeout_seconds is not None and draft.run.started_at is not None:
        draft.clear_timer(0, "timeout")
    draft.set(phase="archive", outcome=outcome, reason=reason, ended_at=draft.at)
    draft.emit("sys.end.all", "sys", "", {"outcome": outcome, "reason": reason}, good=outcome == "good")
    draft.queue.clear()
    draft.effects.append(EndRun(outcome, reason))
