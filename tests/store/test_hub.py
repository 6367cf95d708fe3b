"""The hub's part: adoption, locks, steps."""

import pytest

from shared.errors import NotFound
from shared.flows.model import definition_hash
from shared.runs.refs import RunNumber, RunRef
from shared.store.port import RunChange, Store, StoreConflict
from tests.store.make import a_flow, a_trigger, adopt, adoption, an_activation, an_event, lock, step, stepped

pytestmark = pytest.mark.anyio


async def test_an_adopted_run_reads_back_as_it_was_written(store: Store) -> None:
    (run,) = await adopt(store, opts={"nul": "a\0b", "big": 2**70, "lone": "\ud800", "deep": {"a": [1, None]}})
    async with store.transaction() as transaction:
        (found,) = await lock(transaction, run.facts.ref)
    assert found == run


async def test_definitions_are_kept_by_hash(store: Store) -> None:
    flow = a_flow(cmd="x")
    await adopt(store, flow=flow)
    await adopt(store, flow=flow)
    assert await store.definition(definition_hash(flow)) == flow
    with pytest.raises(NotFound):
        await store.definition("none")


async def test_a_step_keeps_what_is_open_and_drops_what_is_done(store: Store) -> None:
    (run,) = await adopt(store)
    ref = run.facts.ref
    await step(store, ref, an_activation(1, process="out"), an_activation(2, "m", type="all", phase="waiting"), out=1)
    after = await step(store, ref, an_activation(1, phase="done", process="gone", status=0, result="good"), out=0)
    async with store.transaction() as transaction:
        (found,) = await lock(transaction, ref)
    assert list(found.state.open) == [2]
    assert found.state.merges == {"m": 2}
    assert found.state.open == after.state.open
    assert [each.status for each in await store.activations(ref, "t0")] == [0]


async def test_a_known_run_is_given_back_unless_its_rev_moved(store: Store) -> None:
    (run,) = await adopt(store)
    ref = run.facts.ref
    async with store.transaction() as transaction:
        first = (await transaction.lock_runs([ref], {ref: run})).runs[ref]
    assert first is run
    await step(store, ref, reason="moved")
    async with store.transaction() as transaction:
        second = (await transaction.lock_runs([ref], {ref: run})).runs[ref]
    assert second.state.reason == "moved"


async def test_a_ref_under_another_hosts_name_does_not_exist(store: Store) -> None:
    (run,) = await adopt(store)
    wrong = RunRef(f"other-{run.facts.number}")
    async with store.transaction() as transaction:
        locked = await transaction.lock_runs([wrong, RunRef("h1-999999"), run.facts.ref], {})
    assert set(locked.runs) == {run.facts.ref}
    assert locked.held == frozenset()
    assert await store.run(wrong) is None


async def test_a_moved_rev_is_a_conflict_and_changes_nothing(store: Store) -> None:
    (run,) = await adopt(store)
    await step(store, run.facts.ref, reason="first")
    with pytest.raises(StoreConflict):
        await save(store, stepped(run, events=(an_event(run.facts.ref, 2),), reason="second"))
    detail = await store.run(run.facts.ref)
    assert detail is not None
    assert detail.row.reason == "first"
    assert len(await store.events(run.facts.ref, 0, 10)) == 1


async def test_a_trigger_is_settled_once(store: Store) -> None:
    async with store.transaction() as transaction:
        await transaction.save([a_trigger("t1")], [], {})
        assert await transaction.known_triggers(["t1", "t2"]) == {"t1"}
    with pytest.raises(StoreConflict):
        await settle(store, "t2", "t1")
    assert await store.trigger("t2") is None


async def test_numbers_ascend_and_are_never_given_out_twice(store: Store) -> None:
    async with store.transaction() as transaction:
        first = list(await transaction.new_numbers(3))
    with pytest.raises(ZeroDivisionError):
        await fail_after_numbers(store, first)
    async with store.transaction() as transaction:
        first += await transaction.new_numbers(2)
    assert first == sorted(set(first))
    assert len(first) == 7


async def test_an_error_in_the_body_rolls_everything_back(store: Store) -> None:
    change = adoption(RunNumber(7), a_flow())
    with pytest.raises(ZeroDivisionError):
        await fail_after_save(store, change)
    assert await store.run(change.state.ref) is None
    assert await store.trigger("t1") is None


async def save(store: Store, *changes: RunChange) -> None:
    async with store.transaction() as transaction:
        await transaction.save([], changes, {})


async def settle(store: Store, *triggers: str) -> None:
    async with store.transaction() as transaction:
        await transaction.save([a_trigger(each) for each in triggers], [], {})


async def fail_after_numbers(store: Store, numbers: list[RunNumber]) -> None:
    async with store.transaction() as transaction:
        numbers += await transaction.new_numbers(2)
        raise ZeroDivisionError


async def fail_after_save(store: Store, change: RunChange) -> None:
    flow = a_flow()
    async with store.transaction() as transaction:
        await transaction.save([a_trigger("t1", change.state.ref)], [change], {definition_hash(flow): flow})
        raise ZeroDivisionError
