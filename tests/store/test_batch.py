"""A batch of the hub as rows: no key twice, keys in order."""

from dataclasses import replace
from datetime import timedelta

from shared.flows.model import definition_hash
from shared.runs.refs import RunNumber
from shared.store.batch import rows_of
from shared.store.port import StoredRun, Timer
from shared.store.rows import AS_IS
from tests.store.make import AT, a_flow, a_trigger, adoption, an_activation, stepped


def a_run() -> StoredRun:
    change = adoption(RunNumber(7), a_flow())
    assert change.adopted is not None
    return StoredRun(change.adopted, change.state)


def test_a_timer_that_is_set_anew_is_not_cleared() -> None:
    run = a_run()
    timers = [Timer(run.facts.ref, 1, "wait", AT), Timer(run.facts.ref, 1, "wait", AT + timedelta(seconds=1))]
    change = replace(stepped(run), set_timers=timers, cleared_timers=[(1, "wait"), (2, "wait"), (2, "wait")])
    batch = rows_of([], [change], {}, AT, AS_IS)
    assert batch.cleared_timers == [(7, 2, "wait")]
    assert batch.set_timers == [(7, 1, "wait", AT + timedelta(seconds=1))]


def test_an_activation_that_was_touched_twice_is_written_as_it_was_last() -> None:
    change = stepped(a_run(), an_activation(1), an_activation(2), an_activation(1, phase="running"))
    batch = rows_of([], [change], {}, AT, AS_IS)
    assert [(row[1], row[4]) for row in batch.activations] == [(1, "running"), (2, "queued")]


def test_triggers_and_definitions_come_in_order_of_their_keys() -> None:
    flows = {definition_hash(flow): flow for flow in (a_flow(cmd=f"x{n}") for n in range(5))}
    batch = rows_of([a_trigger(name) for name in "cab"], [], flows, AT, AS_IS)
    assert [row[0] for row in batch.triggers] == ["a", "b", "c"]
    assert [row[0] for row in batch.definitions] == sorted(flows)
