"""Two at once: who is first wins, the other is told, nothing is doubled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.flows.model import definition_hash
from shared.placement import Assignment
from shared.runs.refs import RunNumber, RunRef
from shared.store.port import Store, StoreConflict
from shared.store.postgres import PostgresStore
from shared.store.sqlite import SqliteStore
from tests.store.make import a_flow, a_trigger, adopt, adoption, an_activation, an_agent, end, lock, step, stepped
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgres"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' stores on one database."""

    def another() -> Store:
        if request.param == "sqlite":
            return SqliteStore(tmp_path)
        return PostgresStore(request.getfixturevalue("fresh_database"))

    async with AsyncExitStack() as stack:
        stores = another(), another()
        for each in stores:
            stack.push_async_callback(each.close)
        await asyncio.gather(*(each.start(migrate=True) for each in stores))
        yield stores


async def adopt_once(store: Store, trigger_id: str) -> RunRef:
    flow = a_flow()
    async with store.transaction() as transaction:
        change = adoption((await transaction.new_numbers(1))[0], flow, trigger_id=trigger_id)
        await transaction.save([a_trigger(trigger_id, change.state.ref)], [change], {definition_hash(flow): flow})
    return change.state.ref


async def test_two_hubs_adopt_one_trigger_once(two: tuple[Store, Store]) -> None:
    for n in range(5):
        answers = await asyncio.gather(*(adopt_once(store, f"t{n}") for store in two), return_exceptions=True)
        assert sorted(isinstance(each, StoreConflict) for each in answers) == [False, True]
        settled = await two[0].trigger(f"t{n}")
        assert settled is not None
        assert list(settled.runs) == [each for each in answers if isinstance(each, str)]


async def test_numbers_of_two_hubs_never_meet(two: tuple[Store, Store]) -> None:
    async def take(store: Store) -> list[RunNumber]:
        async with store.transaction() as transaction:
            return list(await transaction.new_numbers(7))

    taken = await asyncio.gather(*(take(store) for store in two * 5))
    assert len({number for each in taken for number in each}) == 70


async def test_steps_of_two_hubs_on_one_run_are_serialised(two: tuple[Store, Store]) -> None:
    (run,) = await adopt(two[0])
    ref = run.facts.ref

    async def count_to(store: Store, end: int) -> None:
        done = 0
        while done < end:
            async with store.transaction() as transaction:
                locked = await transaction.lock_runs([ref], {ref: run})
                assert set(locked.runs) | locked.held == {ref}
                if found := locked.runs.get(ref):
                    await transaction.save([], [stepped(found, next_n=found.state.next_n + 1)], {})
                    done += 1

    await asyncio.gather(*(count_to(store, 20) for store in two))
    async with two[0].transaction() as transaction:
        (after,) = await lock(transaction, ref)
    assert (after.state.rev, after.state.next_n) == (41, 41)


async def test_a_run_that_another_holds_is_told_from_one_that_is_not_there(fresh_database: str) -> None:
    store = PostgresStore(fresh_database)
    await store.start(migrate=True)
    one, two = (run.facts.ref for run in await adopt(store, 2))
    nobody = RunRef("h1-999")
    async with store.transaction() as first, store.transaction() as second:
        await first.lock_runs([one], {})
        locked = await second.lock_runs([nobody, two, one, RunRef("other-1")], {})
        assert (set(locked.runs), locked.held) == ({two}, {one})
    await store.close()


async def test_a_host_that_a_dispatcher_sets_is_seen_by_a_hub_that_knows_the_run(two: tuple[Store, Store]) -> None:
    hub, dispatcher = two
    (run,) = await adopt(hub)
    async with dispatcher.placement() as placement:
        await placement.assign([Assignment(run.facts.ref, "a1", ())])
    async with hub.transaction() as transaction:
        found = (await transaction.lock_runs([run.facts.ref], {run.facts.ref: run})).runs[run.facts.ref]
    assert (found.state.host, found.state.epoch) == ("a1", 1)


async def test_two_sweeps_never_return_the_same_task(two: tuple[Store, Store]) -> None:
    await two[0].beat([an_agent()])
    for run in await adopt(two[0], 20):
        await step(two[0], run.facts.ref, an_activation(1, process="out"), phase="active", out=1, host="a1")
    runs: list[RunRef] = []

    async def all_found() -> bool:
        found = await asyncio.gather(*(store.unanswered(1.5, 10) for store in two * 3))
        runs.extend(ref for batch in found for ref in batch)
        return len(runs) >= 20

    await wait_until(all_found, what="every task was asked for")
    assert len(runs) == len(set(runs)) == 20


async def test_a_definition_that_is_pruned_meanwhile_is_missed_by_no_run(two: tuple[Store, Store]) -> None:
    hub, pruner = two

    async def run_and_forget(n: int) -> None:
        try:
            await end(hub, await adopt_once(hub, f"t{n}"))
        except StoreConflict:
            return

    await asyncio.gather(*(run_and_forget(n) for n in range(20)), *(pruner.prune(0, 0, 10) for _ in range(20)))
    assert await hub.definition(definition_hash(a_flow())) == a_flow()


async def test_dispatchers_decide_one_after_another(two: tuple[Store, Store]) -> None:
    one, other = two

    async def look() -> int:
        async with other.placement() as placement:
            return len((await placement.view(5)).pends)

    (run,) = await adopt(one)
    async with one.placement() as placement:
        looking = asyncio.ensure_future(look())
        assert not (await asyncio.wait([looking], timeout=0.1))[0]
        await placement.assign([Assignment(run.facts.ref, "a1", ())])
    assert await looking == 0


async def test_who_reads_the_inbox_second_waits_for_the_first(two: tuple[Store, Store]) -> None:
    one, other = two

    async def known() -> frozenset[str]:
        async with other.transaction() as transaction:
            return await transaction.known_triggers(["t1"])

    await one.put_inbox(a_trigger("t1", state="inbox"))
    async with one.transaction() as transaction:
        assert await transaction.known_triggers(["t1"]) == frozenset()
        waiting = asyncio.ensure_future(known())
        assert not (await asyncio.wait([waiting], timeout=0.1))[0]
        await transaction.save([a_trigger("t1")], [], {})
    assert await waiting == {"t1"}
