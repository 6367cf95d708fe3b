"""Values for store tests: flows, runs, changes, in as few words as a test needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.flows.model import Flow, Node, definition_hash
from shared.runs.events import RunEvent
from shared.runs.refs import RunNumber, RunRef, make_ref
from shared.runs.state import Activation, RunState
from shared.store.port import (
    AgentRow,
    HubTransaction,
    RunChange,
    RunFacts,
    Store,
    StoredRun,
    TriggerRow,
    Verdict,
)

AT = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def a_flow(flow_id: str = "build", ver: int = 1, cmd: str = "true", tasks: int = 1) -> Flow:
    trigger = Node("go", "go", "trigger", "data")
    nodes = [Node(f"t{i}", f"t{i}", "task", "exec", listen="trigger.good", opts={"cmd": cmd}) for i in range(tasks)]
    return Flow(flow_id, ver, flow_id, triggers=(trigger,), tasks=tuple(nodes))


def an_agent(host: str = "a1", **changed: Any) -> AgentRow:
    return replace(AgentRow(host, ("linux",), 4, "up", installation="i1", incarnation="p1"), **changed)


def an_activation(n: int, node: str = "t0", **changed: Any) -> Activation:
    return replace(Activation(n, node, "exec", "queued", {"a": n}, queued_at=AT), **changed)


def an_event(ref: RunRef, seq: int, tag: str = "sys.node.update", **opts: Any) -> RunEvent:
    return RunEvent(ref, seq, tag, "sys", "floe", True, opts, AT)


def a_trigger(trigger_id: str, *refs: RunRef, state: Any = "settled", **changed: Any) -> TriggerRow:
    verdicts = tuple(Verdict("build", True, "named") for _ in refs)
    row = TriggerRow(trigger_id, "data", state, {"x": 1}, "build", None, "go", False, "ann", AT, verdicts, refs)
    return replace(row, **changed)


def adoption(
    number: RunNumber,
    flow: Flow,
    hub: str = "h1",
    trigger_id: str = "",
    opts: Mapping[str, Any] | None = None,
    resource_tags: tuple[str, ...] = (),
    host_tags: tuple[str, ...] = (),
) -> RunChange:
    ref = make_ref(hub, number)
    facts = RunFacts(
        number,
        ref,
        flow.id,
        flow.ver,
        definition_hash(flow),
        trigger_id or f"trigger-{number}",
        "data",
        host_tags,
        resource_tags,
        False,
    )
    state = RunState(ref, opts=opts or {"x": 1}, trigger_node="go", rev=1, seq=1, created_at=AT)
    return RunChange(state, 0, facts, events=(an_event(ref, 1, "sys.state", action="add-pend"),))


async def adopt(store: Store, count: int = 1, flow: Flow | None = None, **how: Any) -> list[StoredRun]:
    """New pending runs, each with a settled trigger of its own."""
    flow = flow or a_flow()
    async with store.transaction() as transaction:
        changes = [adoption(number, flow, **how) for number in await transaction.new_numbers(count)]
        triggers = [a_trigger(c.adopted.trigger_id, c.state.ref) for c in changes if c.adopted]
        await transaction.save(triggers, changes, {definition_hash(flow): flow})
    return [StoredRun(c.adopted, c.state) for c in changes if c.adopted]


async def lock(transaction: HubTransaction, *refs: RunRef) -> list[StoredRun]:
    locked = await transaction.lock_runs(refs, {})
    return [locked.runs[ref] for ref in refs]


def stepped(run: StoredRun, *activations: Activation, events: Sequence[RunEvent] = (), **changed: Any) -> RunChange:
    """One step later: these activations touched, these fields changed."""
    old = run.state
    opened = dict(old.open.items()) | {a.n: a for a in activations}
    state = replace(
        old,
        rev=old.rev + 1,
        open={n: a for n, a in opened.items() if a.is_open},
        next_n=max([old.next_n, *(a.n + 1 for a in activations)]),
        seq=old.seq + len(events),
    )
    return RunChange(replace(state, **changed), old.rev, activations=activations, events=events)


async def step(store: Store, ref: RunRef, *activations: Activation, **changed: Any) -> StoredRun:
    """Lock, step, save."""
    async with store.transaction() as transaction:
        (run,) = await lock(transaction, ref)
        change = stepped(run, *activations, **changed)
        await transaction.save([], [change], {})
    return StoredRun(run.facts, change.state)


async def end(store: Store, ref: RunRef, **changed: Any) -> StoredRun:
    """To the archive, with nothing left: open activations are done, claims freed."""
    async with store.transaction() as transaction:
        (run,) = await lock(transaction, ref)
        done = [replace(a, phase="done", process="gone", result="good") for a in run.state.open.values()]
        how = {"phase": "archive", "outcome": "good", "out": 0, "waiting": 0, "ended_at": transaction.now} | changed
        change = replace(stepped(run, *done, **how), free_claims=True)
        await transaction.save([], [change], {})
    return StoredRun(run.facts, change.state)
