"""Use cases, apart from HTTP: a data trigger is checked and taken in.

Everything that is accepted here is kept: the broker has confirmed it, or its row is in the inbox (ARCHITECTURE §1).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from services.api.auth import Principal
from services.api.desk import Desk
from services.api.problems import BadRequest
from services.api.values import fitting, sendable, wrong
from shared.bus.messages import TriggerReceived
from shared.bus.port import BusUnavailable
from shared.errors import Conflict, NotFound, Unavailable
from shared.flows import forms
from shared.flows.model import Flow, Node
from shared.flows.problems import nearest
from shared.store.port import StoreUnavailable, TriggerRow

log = structlog.get_logger()


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
    most = desk.config.event_limit_bytes
    sendable(order.opts, "opts", most)
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
    sendable(fitting(forms.trigger_opts(form, order.opts), "opts"), "opts", most)


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
            raise wrong("trigger", f"{named} is a {node.type} trigger; only data triggers can be started by hand")
    near = nearest(named, [node.id for node in flow.triggers if node.type == "data"])
    hint = f"; did you mean {near}?" if near else ""
    raise wrong("trigger", f"flow {flow.id} has no trigger {named}{hint}")


async def take_in(desk: Desk, trigger: TriggerReceived) -> None:
    """Keep a trigger: with the broker, else in the inbox. Raises Unavailable when neither takes it. Twice is
    harmless."""
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
        raise wrong("Idempotency-Key", "takes 1 to 255 printable characters")
    name = _digest([actor.token, order.flow, key])
    body = _digest([order.ver, order.trigger, order.opts])
    mine = new_trigger_id()
    fingerprint, trigger_id = await desk.store.remember(name, body, mine)
    if fingerprint != body:
        raise wrong("Idempotency-Key", "was used with another body in the last 24 hours")
    return trigger_id, trigger_id != mine


async def _unknown_flow(desk: Desk, flow: str, ver: int | None) -> NotFound:
    if ver is not None and await desk.flow(flow) is not None:
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


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
