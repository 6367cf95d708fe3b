"""A run, whole: its snapshot's nodes joined with what they did (schemas.RunDetail). Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.api import views
from services.api.views import Json
from shared.flows import forms
from shared.flows.asking import form_asked
from shared.flows.model import Flow, Form, Node
from shared.placement import AgentState
from shared.runs.state import FINAL, Activation, shown_status
from shared.store.port import RunDetail


def run_detail(run: RunDetail, flow: Flow, graph: Json, host_state: AgentState | None) -> Json:
    """Every node of the flow, those that did nothing too."""
    latest = {activation.node: activation for activation in run.activations}
    nodes = [_node(node, latest.get(node.id), run.counts.get(node.id, 0), run.opts) for node in flow.tasks]
    return {
        **views.run_brief(run.row),
        "reason": run.row.reason or _away(run, host_state),
        "host": run.row.host,
        "host_state": host_state,
        "opts": run.opts,
        "trigger": {"id": run.row.trigger_id, "type": run.row.trigger_type, "node": run.trigger_node},
        "progress": _progress(flow, latest),
        "seq": run.seq,
        "created_at": run.row.created_at,
        "started_at": run.row.started_at,
        "ended_at": run.row.ended_at,
        "nodes": [*_triggers(flow, run), *nodes],
        "graph": graph,
    }


def form_to_json(form: Form) -> Json:
    """A form as clients see it."""
    fields = [
        {
            "id": field.id,
            "prompt": field.prompt,
            "type": field.type,
            "value": field.value,
            "options": list(field.options),
            "required": field.required,
        }
        for field in form.fields
    ]
    return {"title": form.title, "fields": fields}


def _away(run: RunDetail, host_state: AgentState | None) -> str:
    """FLOWS N-11: a run whose host does not answer says so."""
    if run.row.phase == "archive" or run.row.host is None or host_state in (None, "up"):
        return ""
    return f"host {run.row.host} {host_state}"


def _progress(flow: Flow, latest: Mapping[str, Activation]) -> Json:
    done = sum(1 for activation in latest.values() if activation.phase in FINAL)
    return {"done": done, "total": len(flow.tasks)}


def _triggers(flow: Flow, run: RunDetail) -> Sequence[Json]:
    shown = []
    for node in flow.triggers:
        fired = node.id == run.trigger_node and run.row.started_at is not None
        at = run.row.started_at if fired else None
        state = {"status": "finished" if fired else "idle", "result": "good" if fired else None}
        shown.append({**_blank(node), **state, "started_at": at, "stopped_at": at})
    return shown


def _blank(node: Node) -> Json:
    return {
        "id": node.id,
        "name": node.name,
        "class": node.cls,
        "type": node.type,
        "status": "idle",
        "result": None,
        "reason": "",
        "activation": None,
        "activations": 0,
        "exit_status": None,
        "waits": [{"tag": tag, "came": False} for tag in node.wait],
        "log_length": None,
        "queued_at": None,
        "started_at": None,
        "stopped_at": None,
    }


def _node(node: Node, activation: Activation | None, count: int, run_opts: Mapping[str, Any]) -> Json:
    if activation is None:
        return {**_blank(node), **_form(node, forms.form_of(node), {})}
    return {
        **_blank(node),
        "status": shown_status(activation),
        "result": activation.result,
        "reason": activation.reason,
        "activation": activation.n,
        "activations": max(count, 1),
        "exit_status": activation.status,
        "waits": [{"tag": tag, "came": tag in activation.came} for tag in node.wait],
        "log_length": activation.log_length,
        "queued_at": activation.queued_at,
        "started_at": activation.started_at,
        "stopped_at": activation.stopped_at,
        **({"due_at": activation.due_at} if node.type == "timer" else {}),
        **_form(node, form_asked(node, run_opts, activation.opts), activation.values),
    }


def _form(node: Node, form: Form, values: Mapping[str, Any]) -> Json:
    if node.type != "data":
        return {}
    missing = list(forms.missing(form, values))
    return {"form": form_to_json(form), "values": dict(values), "missing": missing}
