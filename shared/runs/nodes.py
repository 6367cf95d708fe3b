"""How a node's doing begins, goes on and ends, by its type. Called by `machine`, which decides what that means."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.errors import FloeError
from shared.flows.model import Node
from shared.runs.draft import Draft
from shared.runs.effects import RequestData, SetTimer, StartTask, StopTask
from shared.runs.events import RunEvent, SourceClass, TaskFinished
from shared.runs.program import Program
from shared.runs.state import FINAL, MERGE_TYPES, Activation, Outcome, Result, shown_status

MAX_ACTIVATIONS = 10_000

Ended = tuple[Outcome, str]


def arrive(program: Program, draft: Draft, node: Node, event: RunEvent) -> Ended | None:
    """An event reaches a node that listens to it. Returns how the run ends, if that ends it."""
    if node.type in MERGE_TYPES:
        return _arrive_at_merge(program, draft, node, event)
    if draft.next_n > MAX_ACTIVATIONS:
        return "bad", f"more than {MAX_ACTIVATIONS} activations (a cycle without an exit?)"
    opts = {} if event.source_class == "trigger" else event.opts
    match node.type:
        case "end":
            return _reach_end(draft, node, event)
        case "data":
            _start_data(program, draft, node, opts)
        case "timer":
            _start_timer(program, draft, node, opts)
        case _:
            return _start_task(program, draft, node, opts)
    _limit(program, draft, node, draft.next_n - 1)
    return None


# --- beginnings ------------------------------------------------------------------------------------------------------


def _begin(draft: Draft, node: Node, opts: Mapping[str, Any], **fields: Any) -> Activation:
    n = draft.next_n
    activation = Activation(n, node.id, node.type, opts=opts, queued_at=draft.at, **fields)
    draft.add(activation)
    draft.emit("sys.node.start", _source(node), node.id, {"activation": n, "status": shown_status(activation)})
    return activation


def _update(draft: Draft, activation: Activation, **more: Any) -> None:
    opts = {"activation": activation.n, "status": shown_status(activation), **more}
    draft.emit("sys.node.update", _source(activation), activation.node, opts)


def _start_task(program: Program, draft: Draft, node: Node, opts: Mapping[str, Any]) -> Ended | None:
    if draft.run.host_lost:
        return "bad", f"host {draft.run.host} lost"
    try:
        program.check_opts(node, draft.run.opts, opts)
    except FloeError as error:
        activation = _begin(draft, node, {}, phase="waiting", started_at=draft.at)
        _close(program, draft, activation, "error", {}, str(error))
        return None
    activation = _begin(draft, node, opts, phase="queued", process="out")
    draft.effects.append(StartTask(activation.n))
    return None


def _reach_end(draft: Draft, node: Node, event: RunEvent) -> Ended:
    outcome: Literal["good", "bad"] = "good" if event.good else "bad"
    _begin(draft, node, {}, phase="done", result=outcome, started_at=draft.at, stopped_at=draft.at)
    return outcome, "" if event.good else draft.why(event)


def _start_data(program: Program, draft: Draft, node: Node, opts: Mapping[str, Any]) -> None:
    activation = _begin(draft, node, opts, phase="waiting", started_at=draft.at)
    try:
        program.check_opts(node, draft.run.opts, opts)
        form = program.form(node, draft.run.opts, opts)
    except FloeError as error:
        _close(program, draft, activation, "error", {}, str(error))
        return
    values, complete = program.first_values(form, {**draft.run.opts, **opts})
    activation = draft.put(activation, values=values)
    if complete:
        _complete_data(program, draft, activation, form)
        return
    _ask(program, draft, activation, form)


def _ask(program: Program, draft: Draft, activation: Activation, form: Mapping[str, Any]) -> None:
    missing = list(program.missing_values(form, activation.values))
    opts = {"activation": activation.n, "missing": missing, "form": form}
    draft.emit("sys.data.required", "task", activation.node, opts)
    draft.effects.append(RequestData(activation.n))


def _start_timer(program: Program, draft: Draft, node: Node, opts: Mapping[str, Any]) -> None:
    activation = _begin(draft, node, opts, phase="waiting", started_at=draft.at)
    try:
        due_at = draft.at + timedelta(seconds=program.period(node, draft.run.opts, opts))
    except FloeError as error:
        _close(program, draft, activation, "error", {}, str(error))
        return
    draft.put(activation, due_at=due_at)
    draft.effects.append(SetTimer(activation.n, "wait", due_at))


def _limit(program: Program, draft: Draft, node: Node, n: int) -> None:
    """FLOWS N-08: a timeout counts from the node's start."""
    seconds = program.timeout_of(node)
    if seconds is not None and n in draft.open and draft.open[n].phase not in FINAL:
        draft.effects.append(SetTimer(n, "timeout", draft.at + timedelta(seconds=seconds)))


# --- merges ----------------------------------------------------------------------------------------------------------


def _arrive_at_merge(program: Program, draft: Draft, node: Node, event: RunEvent) -> Ended | None:
    """FLOWS §6 merge and N-10: one firing per activation; what comes after it opens the next."""
    n = draft.merges.get(node.id)
    merge = draft.open[n] if n is not None else None
    round_again = node.type == "any" and program.leads_back(node, event.tag)
    seen = node.wait if round_again else ()
    if merge is not None and merge.recording and (round_again or event.tag in merge.came):
        seen = merge.came if round_again else ()
        draft.put(merge, recording=False)
        merge = None
    if merge is None:
        if draft.next_n > MAX_ACTIVATIONS:
            return "bad", f"more than {MAX_ACTIVATIONS} activations (a cycle without an exit?)"
        merge = _begin(draft, node, {}, phase="waiting", started_at=draft.at, came=seen)
        _limit(program, draft, node, merge.n)
    came = merge.came if event.tag in merge.came else (*merge.came, event.tag)
    all_came = len(came) >= len(node.wait)
    if merge.recording:
        merge = draft.put(merge, came=came, recording=not all_came)
        _update(draft, merge, came=list(came))
        return None
    merge = draft.put(merge, came=came, opts={**merge.opts, **event.opts})
    if node.type == "all" and not all_came:
        _update(draft, merge, came=list(came))
        return None
    _clear_limit(program, draft, merge)
    merge = draft.put(merge, phase="done", result="good", stopped_at=draft.at, recording=not all_came)
    _update(draft, merge, came=list(came))
    draft.emit(f"merge.{node.id}.good", "merge", node.id, merge.opts)
    return None


# --- on the way ------------------------------------------------------------------------------------------------------


def started(program: Program, draft: Draft, activation: Activation, at: datetime) -> None:
    """Its first process runs. Of an activation that was given up meanwhile only the time is noted."""
    if activation.phase in FINAL:
        draft.put(activation, started_at=at, accepted=True)
        return
    running = draft.put(activation, phase="running", started_at=at, accepted=True)
    _update(draft, running)
    _limit(program, draft, _node(program, activation), activation.n)


def submit(program: Program, draft: Draft, activation: Activation, values: Mapping[str, Any]) -> None:
    """Each submission adds to the values; when nothing required is missing the node is done (FLOWS §6 data)."""
    form = program.form(_node(program, activation), draft.run.opts, activation.opts)
    together = {**activation.values, **values}
    if not program.missing_values(form, together):
        _complete_data(program, draft, draft.put(activation, values=together), form)
    elif together != activation.values:
        _ask(program, draft, draft.put(activation, values=together), form)


def _complete_data(program: Program, draft: Draft, activation: Activation, form: Mapping[str, Any]) -> None:
    values = activation.values
    opts = {**values, "form": form, "values": dict(values)}
    _close(program, draft, activation, "bad" if values.get("good") is False else "good", opts)


def wait_is_over(program: Program, draft: Draft, activation: Activation) -> None:
    """A timer node is due: `.good`, its options passed on. An early message is no reason to fire."""
    if activation.type != "timer" or (activation.due_at is not None and draft.at < activation.due_at):
        return
    draft.clear_timer(activation.n, "wait")
    _close(program, draft, activation, "good", activation.opts)


def over_time(program: Program, draft: Draft, activation: Activation) -> None:
    """FLOWS N-08: stopped, and `.error` once nothing of it is left."""
    seconds = program.timeout_of(_node(program, activation))
    since = activation.started_at
    if seconds is None or since is None or draft.at < since + timedelta(seconds=seconds):
        return
    reason = f"timed out after {in_words(seconds)}"
    if activation.process != "out":
        _close(program, draft, activation, "error", {}, reason)
        return
    draft.clear_timer(activation.n, "timeout")
    if activation.stopping is None:
        draft.put(activation, stopping=reason)
        draft.effects.append(StopTask(activation.n, reason))


# --- ends ------------------------------------------------------------------------------------------------------------


def process_gone(program: Program, draft: Draft, activation: Activation, event: TaskFinished) -> None:
    """No process of it is left. If the run gave it up meanwhile, only that is noted (FLOWS E-05)."""
    status, reason = event.status, activation.stopping or event.error
    began = _began(activation, event)
    noted = draft.put(
        activation,
        process="gone",
        accepted=True,
        status=status,
        started_at=began,
        stopped_at=event.at,
        log_length=event.log_length,
    )
    if activation.phase in FINAL:
        return
    if reason is not None or status is None:
        _close(program, draft, noted, "error", {}, reason or "ended without a status")
        return
    node = _node(program, activation)
    good = status in node.good
    _close(program, draft, noted, "good" if good else "bad", event.opts, "" if good else f"exited with status {status}")


def _began(activation: Activation, event: TaskFinished) -> datetime | None:
    if not event.started:
        return activation.started_at
    if event.elapsed_seconds is not None:
        return event.at - timedelta(seconds=max(0.0, event.elapsed_seconds))
    return activation.started_at or event.at


def lose(program: Program, draft: Draft, activation: Activation, reason: str) -> Activation:
    """Its host is gone, and what it did is not known (FLOWS N-11)."""
    _clear_limit(program, draft, activation)
    return draft.put(activation, phase="lost", process="gone", result="error", reason=reason, stopped_at=draft.at)


def abandon(program: Program, draft: Draft, activation: Activation, reason: str) -> None:
    """The run ends around it."""
    if activation.recording:
        draft.put(activation, recording=False)
        return
    if activation.phase in FINAL:
        return
    _clear_limit(program, draft, activation)
    if activation.type == "timer":
        draft.clear_timer(activation.n, "wait")
    stopping = activation.stopping or (reason or "the run ended" if activation.process == "out" else None)
    draft.put(activation, phase="cancelled", reason=reason, stopped_at=draft.at, stopping=stopping)


def _close(
    program: Program, draft: Draft, activation: Activation, result: Result, opts: Mapping[str, Any], reason: str = ""
) -> None:
    _clear_limit(program, draft, activation)
    if activation.type == "timer" and result == "error":
        draft.clear_timer(activation.n, "wait")
    stopped_at = activation.stopped_at or draft.at
    closed = draft.put(activation, phase="done", result=result, reason=reason, stopped_at=stopped_at)
    emit_result(program, draft, closed, opts)


def _clear_limit(program: Program, draft: Draft, activation: Activation) -> None:
    if activation.started_at is not None and program.timeout_of(_node(program, activation)) is not None:
        draft.clear_timer(activation.n, "timeout")


def emit_result(program: Program, draft: Draft, activation: Activation, opts: Mapping[str, Any]) -> None:
    """FLOWS N-03, N-04: what a result is called, and whether it is good."""
    node = _node(program, activation)
    result: Result = activation.result or "error"
    good = result == "good" or node.ignore_fail
    suffix = "good" if good else str(result)
    if node.use_status and not node.ignore_fail and result != "error" and activation.status is not None:
        suffix = str(activation.status)
    source = _source(node)
    draft.emit(f"{source}.{node.id}.{suffix}", source, node.id, opts, good)
    if activation.reason:
        draft.reasons[draft.seq] = activation.reason


def _source(what: Node | Activation) -> SourceClass:
    return "merge" if what.type in MERGE_TYPES else "task"


def in_words(seconds: float) -> str:
    """A period as authors write it: `5m`, `30s`."""
    return f"{seconds / 60:g}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g}s"


def _node(program: Program, activation: Activation) -> Node:
    node = program.node(activation.node)
    if node is None:
        raise LookupError(f"activation {activation.n} is of {activation.node!r}, which its own snapshot does not have")
    return node
