"""What a node that waits asks for, with its placeholders filled (FLOWS N-07): one reading for machine and api."""

from collections.abc import Mapping
from typing import Any

from shared.errors import FloeError
from shared.flows.expand import fill
from shared.flows.forms import read_form
from shared.flows.model import Form, Node
from shared.flows.opts import effective_opts, parse_period


def asked_form(node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> dict[str, Any]:
    """A data node's form as JSON values. Raises UnknownOption for a placeholder that names nothing."""
    raw = fill(node.opts.get("form") or {}, effective_opts(run_opts, event_opts, node))
    return dict(raw) if isinstance(raw, Mapping) else {}


def form_asked(node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> Form:
    """The same, read. Never raises: a form that cannot be filled asks for nothing (its node has ended in error)."""
    try:
        return read_form(asked_form(node, run_opts, event_opts))[0]
    except FloeError:
        return Form()


def asked_period(node: Node, run_opts: Mapping[str, Any], event_opts: Mapping[str, Any]) -> float:
    """How many seconds a timer node waits. Raises UnknownOption, or BadPeriod for what is no length of time."""
    return parse_period(fill(node.opts.get("period", 0), effective_opts(run_opts, event_opts, node)))
