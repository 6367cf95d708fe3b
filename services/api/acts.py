"""Use cases, apart from HTTP: what people do to a run. What is accepted is kept by the broker (ARCHITECTURE §1)."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.api.auth import Principal
from services.api.desk import Desk
from services.api.values import fitting, sendable
from shared.bus.messages import CancelRequested, DataProvided
from shared.errors import Conflict, InvalidInput, NotFound
from shared.flows import forms
from shared.flows.asking import form_asked
from shared.flows.model import Node
from shared.flows.problems import nearest
from shared.runs.refs import RunRef, parse_ref
from shared.store.port import RunDetail


async def submit_data(desk: Desk, ref: RunRef, node_id: str, values: Mapping[str, Any], actor: Principal) -> list[str]:
    """Hand values to a waiting data node; returns which required fields are still missing.

    Raises NotFound (run, node), Conflict when the node does not wait, InvalidInput by field (FLOWS §6 data).
    """
    sendable(values, "values", desk.config.event_limit_bytes)
    run = await known_run(desk, ref)
    node = await known_node(desk, run, node_id)
    waiting = next((a for a in run.activations if a.node == node_id and a.phase == "waiting"), None)
    if node.type != "data" or waiting is None or run.row.phase != "active":
        raise Conflict(f"node {node_id} of run {ref} does not wait for data now")
    form = form_asked(node, run.opts, waiting.opts)
    given = fitting(forms.check_values(form, values), "values")
    sendable(given, "values", desk.config.event_limit_bytes)
    message_id = f"{ref}/{waiting.n}/data/{secrets.token_hex(8)}"
    now = datetime.now(UTC)
    await desk.bus.publish(
        [DataProvided(id=message_id, at=now, run=ref, node=node_id, n=waiting.n, values=given, actor=actor.user)]
    )
    return list(forms.missing(form, {**waiting.values, **given}))


async def cancel_run(desk: Desk, ref: RunRef, actor: Principal) -> None:
    """Ask for a run's end. Raises NotFound, and Conflict when it is archived already. Twice is harmless."""
    run = await known_run(desk, ref)
    if run.row.phase == "archive":
        raise Conflict(f"run {ref} has ended already ({run.row.outcome})")
    await desk.bus.publish([CancelRequested(id=f"{ref}/cancel", at=datetime.now(UTC), run=ref, actor=actor.user)])


async def known_run(desk: Desk, ref: str) -> RunDetail:
    """The run of that name. Raises NotFound, also for a text that cannot be one."""
    try:
        parse_ref(ref)
    except InvalidInput as error:
        raise NotFound(str(error)) from error
    run = await desk.store.run(RunRef(ref))
    if run is None:
        raise NotFound(f"there is no run {ref}")
    return run


async def known_node(desk: Desk, run: RunDetail, node_id: str) -> Node:
    """A node of the run's own snapshot. Raises NotFound with the nearest name."""
    flow = await desk.definition(run.definition)
    node = flow.node(node_id)
    if node is None:
        near = nearest(node_id, [n.id for n in flow.nodes])
        raise NotFound(f"flow {flow.ref} has no node {node_id[:80]}" + (f"; did you mean {near}?" if near else ""))
    return node
