"""How things look in answers: plain values in the shapes of `schemas`, ready for JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.bus.messages import RunEvents
from shared.flows import graph
from shared.flows.model import Flow
from shared.flows.model import to_json as flow_to_json
from shared.placement import AgentRow, PendRow, Reason
from shared.store.port import FlowSummary, RunRow, StoredFlow, TriggerRow

Json = dict[str, Any]


def run_brief(run: RunRow) -> Json:
    """schemas.RunBrief"""
    return {"ref": run.ref, "flow": run.flow, "ver": run.ver, "phase": run.phase, "outcome": run.outcome}


def live_brief(run: RunEvents) -> Json:
    """schemas.RunBrief, from what is said live."""
    return {"ref": run.run, "flow": run.flow, "ver": run.ver, "phase": run.phase, "outcome": run.outcome}


def run_item(run: RunRow) -> Json:
    """schemas.RunItem"""
    return {
        **run_brief(run),
        "reason": run.reason,
        "host": run.host,
        "trigger_id": run.trigger_id,
        "trigger_type": run.trigger_type,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def flow_item(summary: FlowSummary) -> Json:
    """schemas.FlowItem"""
    stored = summary.stored
    runs = [run_item(run) for run in summary.runs]
    return {**flow_version(stored), "paused": stored.paused, "runs": runs}


def flow_version(stored: StoredFlow) -> Json:
    """schemas.FlowVersion"""
    return {
        "id": stored.flow.id,
        "ver": stored.flow.ver,
        "name": stored.flow.name,
        "source": stored.source,
        "armed": stored.armed,
        "stored_at": stored.stored_at,
        "problems": [flow_problem(found) for found in stored.problems],
    }


def flow_body(stored: StoredFlow) -> Json:
    """schemas.FlowBody"""
    body = flow_to_json(stored.flow)
    for nodes in (body["triggers"], body["tasks"]):
        for node in nodes:
            node["class"] = node.pop("cls")
    return {
        **body,
        "source": stored.source,
        "armed": stored.armed,
        "paused": stored.paused,
        "stored_at": stored.stored_at,
    }


def flow_problem(found: Mapping[str, Any]) -> Json:
    """schemas.FlowProblem, from a finding as it is stored."""
    return {key: found.get(key) for key in ("level", "line", "node", "message", "hint")}


def trigger(row: TriggerRow, runs: Sequence[RunRow]) -> Json:
    """schemas.TriggerDetail"""
    return {
        "trigger_id": row.id,
        "type": row.type,
        "state": row.state,
        "flow": row.flow,
        "received_at": row.received_at,
        "verdicts": [{"flow": v.flow, "matched": v.matched, "why": v.why} for v in row.verdicts],
        "runs": [run_brief(run) for run in runs],
    }


def pend(row: PendRow, reasons: Sequence[Reason]) -> Json:
    """schemas.Pend"""
    return {"ref": row.ref, "flow": row.flow, "since": row.since, "reasons": [_reason(reason) for reason in reasons]}


def _reason(reason: Reason) -> Json:
    shown: Json = {"kind": reason.kind, "text": reason.text}
    if reason.tags:
        shown["tags"] = list(reason.tags)
    if reason.run is not None:
        shown["run"] = reason.run
    if reason.host is not None:
        shown["host"] = reason.host
    if reason.since is not None:
        shown["since"] = reason.since
    return shown


def agent(row: AgentRow) -> Json:
    """schemas.Agent"""
    return {
        "host": row.host,
        "tags": list(row.tags),
        "slots": row.slots,
        "used": row.used,
        "running": row.running,
        "load": round(row.used / row.slots, 3) if row.slots else 0.0,
        "state": row.state,
        "draining": row.draining,
        "ephemeral": row.ephemeral,
        "version": row.version,
        "last_seen_at": row.last_seen_at,
        "disk_free_bytes": row.disk_free_bytes,
    }


def graph_of(flow: Flow) -> Json:
    """schemas.Graph"""
    return {
        "levels": [list(level) for level in graph.levels(flow)],
        "edges": [{"from": source, "to": target, "tag": tag} for source, target, tag in graph.edges(flow)],
    }


def accepted_trigger(trigger_id: str, flow: str) -> Json:
    """schemas.TriggerDetail of one that the broker has and no hub has taken yet."""
    return {
        "trigger_id": trigger_id,
        "type": "data",
        "state": "accepted",
        "flow": flow or None,
        "received_at": None,
        "verdicts": [],
        "runs": [],
    }
