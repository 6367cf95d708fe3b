"""Which flows a trigger starts, and why the others not (FLOWS §3). Pure: values in, verdicts and runs to be out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.flows.forms import form_of, trigger_opts
from shared.flows.model import Flow, Node
from shared.store.port import StoredFlow, TriggerRow, Verdict

MAX_CHAIN = 20
_NOT_DATA = frozenset({"form", "env"})


@dataclass(frozen=True, slots=True)
class Match:
    """A flow that a trigger starts: with which of its trigger nodes, and the run's options."""

    flow: Flow
    node: Node
    opts: Mapping[str, Any]


@dataclass(slots=True)
class Judgement:
    """One trigger, judged: a verdict for each flow that was asked, and the runs to make."""

    verdicts: list[Verdict] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)


def judge(trigger: TriggerRow, candidates: Sequence[StoredFlow]) -> Judgement:
    """Match a trigger against flows. `candidates` are the one that it names, or every armed flow.

    Each matching flow gets one run; of several matching triggers of a flow the first, unless the event names one
    (T-01). Deterministic.
    """
    judgement = Judgement()
    if trigger.flow is not None and not candidates:
        judgement.verdicts.append(Verdict(trigger.flow, False, _not_there(trigger.flow, trigger.ver)))
    if trigger.flow is None and trigger.type == "data" and not trigger.broadcast:
        judgement.verdicts.append(Verdict("", False, "it names no flow and is no broadcast"))
        return judgement
    for stored in candidates:
        found = _judge_flow(trigger, stored)
        if isinstance(found, Match):
            judgement.matches.append(found)
            judgement.verdicts.append(Verdict(stored.flow.id, True, f"trigger {found.node.id} matched"))
        else:
            judgement.verdicts.append(Verdict(stored.flow.id, False, found))
    return judgement


def _not_there(flow: str, ver: int | None) -> str:
    if ver is not None:
        return f"there is no flow {flow}@{ver}"
    return f"no armed flow has this id (its file left --conf?): store it again, or name a version, as {flow}@1"


def _judge_flow(trigger: TriggerRow, stored: StoredFlow) -> Match | str:
    flow = stored.flow
    if stored.paused is not None:
        return f"paused: {stored.paused}"
    nodes = [node for node in flow.triggers if node.type == trigger.type]
    if not nodes:
        return f"it has no {trigger.type} trigger"
    if trigger.trigger is not None:
        nodes = [node for node in nodes if node.id == trigger.trigger]
        if not nodes:
            return f"it has no {trigger.type} trigger called {trigger.trigger}"
    refusals = []
    for node in nodes:
        found = _judge_node(trigger, flow, node)
        if isinstance(found, Match):
            return found
        refusals.append(f"{node.id}: {found}" if len(nodes) > 1 else found)
    return "; ".join(refusals)


def _judge_node(trigger: TriggerRow, flow: Flow, node: Node) -> Match | str:
    match trigger.type:
        case "data":
            return _judge_data(trigger, flow, node)
        case "flow":
            return _judge_chain(trigger, flow, node)
        case _:
            return Match(flow, node, _run_opts(node, trigger.opts))


def _judge_data(trigger: TriggerRow, flow: Flow, node: Node) -> Match | str:
    """T-02: options never decide the match; T-03: but a form's rules do hold."""
    opts, errors = trigger_opts(form_of(node), trigger.opts)
    if errors:
        return "; ".join(f"{name}: {text}" for name, text in errors)
    return Match(flow, node, _run_opts(node, opts))


def _judge_chain(trigger: TriggerRow, flow: Flow, node: Node) -> Match | str:
    """T-01 `flow`: another flow ended, with one of the outcomes that are wanted."""
    wanted, outcomes = node.opts.get("flow"), _listed(node.opts.get("outcome", ["good"]))
    if wanted != trigger.opts.get("flow"):
        return f"it waits for flow {wanted}"
    if trigger.opts.get("outcome") not in outcomes:
        return f"it waits for outcome {' or '.join(outcomes)}, not {trigger.opts.get('outcome')}"
    if int(trigger.opts.get("chain", 0)) > MAX_CHAIN:
        return f"a chain of more than {MAX_CHAIN} flows"
    return Match(flow, node, _run_opts(node, trigger.opts))


def _run_opts(node: Node, event_opts: Mapping[str, Any]) -> dict[str, Any]:
    """T-02: the trigger's options overlaid by the event's. A form and an environment are no data."""
    return {**{k: v for k, v in node.opts.items() if k not in _NOT_DATA}, **event_opts}


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def chained_flows(flows: Sequence[StoredFlow]) -> frozenset[str]:
    """Ids of flows whose end somebody waits for: others need no trigger event when they end."""
    return frozenset(_waits_for(flows))


def _waits_for(flows: Sequence[StoredFlow]) -> Iterator[str]:
    for stored in flows:
        for node in stored.flow.triggers:
            if node.type == "flow":
                yield str(node.opts.get("flow"))
