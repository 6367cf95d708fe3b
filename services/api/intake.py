"""Use cases, apart from HTTP: take a trigger in, start a run, answer a form, cancel a run.

Everything that is accepted here is kept: the broker has confirmed it, or its row is in the inbox (ARCHITECTURE §1).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from services.api.auth import Principal
from services.api.desk import Desk
from services.api.problems import BadRequest, TooLarge
from shared.bus.messages import CancelRequested, DataProvided, TriggerReceived
from shared.bus.port import BusUnavailable
from shared.errors import Conflict, InvalidInput, NotFound, Unavailable
from shared.flows import forms
from shared.flows.model import Flow, Node
from shared.flows.problems import nearest
from shared.runs.refs import RunRef, parse_ref
from shared.store.port import RunDetail, StoreUnavailable, TriggerRow

log = structlog.get_logger()
DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Order:
    """A data trigger as a client wants it."""

    flow: str | None
    opts: Mapping[str, Any]
    ver: int | None = None
    trigger: str | None = None
    broadcast: bool = False


def new_trigger_id() -> str:
    """An id for something that came in: 128 random bits."""
    return f"t-{secrets.token_hex(16)}"


async def check(desk: Desk, order: Order) -> None:
    """Whether the order can be met: its flow, its trigger, its values against the trigger's form (FLOWS T-02, T-03).

    Raises NotFound (flow, version), Conflict (no data trigger), InvalidInput by field, BadRequest without a flow.
    """
    _sendable(desk, order.opts, "opts")
    if order.flow is None:
        if not order.broadcast:
            raise BadRequest("name a flow, or say broadcast: true to reach every flow with a data trigger")
        if order.ver is not None or order.trigger is not None:
            raise BadRequest("ver and trigger belong to a flow: name it")
        return
    flow = await desk.flow(order.flow, order.ver)
    if flow is None:
        raise await _unknown_flow(desk, order.flow, order.ver)
    form = forms.form_of(data_trigger(flow, order.trigger))
    _sendable(desk, _fitting(forms.trigger_opts(form, order.opts), "opts"), "opts")


def data_trigger(flow: Flow, named: str | None) -> Node:
    """The trigger that an order means: the named one, else the first of type data (FLOWS T-01)."""
    if named is not None:
        return _named_trigger(flow, named)
    found = next((node for node in flow.triggers if node.type == "data"), None)
    if found is None:
        raise Conflict(f"flow {flow.id} has no data trigger, so nobody but floe itself can start it")
    return found


def _named_trigger(flow: Flow, named: str) -> Node:
    for node in flow.triggers:
        if node.id == named and node.type == "data":
            return node
        if node.id == named:
            raise _wrong("trigger", f"{named} is a {node.type} trigger; only data triggers can be started by hand")
    near = nearest(named, [node.id for node in flow.triggers if node.type == "data"])
    hint = f"; did you mean {near}?" if near else ""
    raise _wrong("trigger", f"flow {flow.id} has no trigger {named}{hint}")


def _fitting(values: tuple[dict[str, Any], forms.FieldErrors], loc: str) -> dict[str, Any]:
    """What a form made of values. Raises InvalidInput that names each field."""
    clean, wrong = values
    if wrong:
        errors = [(f"{loc}.{field}", message) for field, message in wrong]
        raise InvalidInput("; ".join(f"{field}: {message}" for field, message in wrong), errors)
    return clean


async def take_in(desk: Desk, trigger: TriggerReceived) -> None:
    """Keep a trigger: with the broker, else in the inbox. Raises Unavailable when neither takes it. Twice is harmless."""
    desk.accepted.put(trigger.id, trigger.flow or "")
    try:
        await desk.bus.publish([trigger])
    except BusUnavailable as error:
        log.warning("trigger.to_inbox", trigger=trigger.id, error=str(error))
        try:
            await desk.store.put_inbox(_inbox_row(trigger))
        except StoreUnavailable as second:
            raise Unavailable("neither the broker nor the store takes it now: try again soon") from second


def received(order: Order, trigger_id: str, actor: Principal) -> TriggerReceived:
    """The message that an order becomes."""
    return TriggerReceived(
        id=trigger_id,
        at=datetime.now(UTC),
        trigger_type="data",
        opts=order.opts,
        flow=order.flow,
        ver=order.ver,
        trigger=order.trigger,
        broadcast=order.broadcast,
        actor=actor.user,
    )


async def id_for_key(desk: Desk, key: str, order: Order, actor: Principal) -> tuple[str, bool]:
    """The trigger id that belongs to an Idempotency-Key, and whether it was given out before.

    A key counts per token and flow for 24 h. Raises InvalidInput when it came with another order.
    """
    if not key.isprintable() or not 0 < len(key) <= 255:
        raise _wrong("Idempotency-Key", "takes 1 to 255 printable characters")
    name = _digest([actor.token, order.flow, key])
    body = _digest([order.ver, order.trigger, order.opts])
    mine = new_trigger_id()
    fingerprint, trigger_id = await desk.store.remember(name, body, mine)
    if fingerprint != body:
        raise _wrong("Idempotency-Key", "was used with another body in the last 24 hours")
    return trigger_id, trigger_id != mine


async def submit_data(desk: Desk, ref: RunRef, node_id: str, values: Mapping[str, Any], actor: Principal) -> list[str]:
    """Hand values to a waiting data node; returns which required fields are still missing.

    Raises NotFound (run, node), Conflict when the node does not wait, InvalidInput by field (FLOWS §6 data).
    """
    _sendable(desk, values, "values")
    run = await known_run(desk, ref)
    node = await known_node(desk, run, node_id)
    waiting = next((a for a in run.activations if a.node == node_id and a.phase == "waiting"), None)
    if node.type != "data" or waiting is None or run.row.phase != "active":
        raise Conflict(f"node {node_id} of run {ref} does not wait for data now")
    form = forms.form_of(node)
    given = _sendable(desk, _fitting(forms.check_values(form, values), "values"), "values")
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


async def _unknown_flow(desk: Desk, flow: str, ver: int | None) -> NotFound:
    if ver is not None and await desk.store.flow(flow) is not None:
        return NotFound(f"flow {flow} has no version {ver}")
    return NotFound(f"there is no flow {flow[:80]}")


def _inbox_row(trigger: TriggerReceived) -> TriggerRow:
    return TriggerRow(
        id=trigger.id,
        type=trigger.trigger_type,
        state="inbox",
        opts=trigger.opts,
        flow=trigger.flow,
        ver=trigger.ver,
        trigger=trigger.trigger,
        broadcast=trigger.broadcast,
        actor=trigger.actor,
    )


def _sendable(desk: Desk, opts: Mapping[str, Any], loc: str) -> Mapping[str, Any]:
    """The same, if it can become a message: not too deep, not too long, numbers that JSON readers agree on."""
    if _depth(opts) > DEEPEST:
        raise _wrong(loc, f"is nested deeper than {DEEPEST} levels")
    try:
        size = len(orjson.dumps(opts))
    except TypeError as error:
        raise _wrong(loc, f"holds a value that cannot be sent: {error}") from error
    if size > desk.config.event_limit_bytes:
        raise TooLarge(f"{loc}: more than {desk.config.event_limit_bytes} bytes; hand large things over as files")
    return opts


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, without recursion; stops looking below what is allowed."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for each in inner for item in each]
        depth += 1 if inner else 0
    return depth


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _wrong(loc: str, msg: str) -> InvalidInput:
    return InvalidInput(f"{loc}: {msg}", [(loc, msg)])
