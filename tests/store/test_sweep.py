"""What a lost hint left behind is found again; timers and schedules."""

from datetime import timedelta

import pytest

from shared.placement import Assignment
from shared.runs.refs import RunRef
from shared.store.port import RunChange, Schedule, Store, Timer
from tests.store.make import AT, adopt, an_activation, an_agent, end, lock, step, stepped

pytestmark = pytest.mark.anyio


async def on_host(store: Store, count: int = 1, host: str = "a1") -> list[RunRef]:
    refs = [run.facts.ref for run in await adopt(store, count)]
    await store.beat([an_agent(host)])
    async with store.placement() as placement:
        await placement.assign([Assignment(ref, host, ()) for ref in refs])
    return refs


async def test_an_offer_is_outstanding_until_it_is_accepted(store: Store) -> None:
    (ref,) = await on_host(store)
    await step(store, ref, an_activation(1, process="out"), an_activation(2), phase="active", out=1)
    assert await store.unanswered(-1, 10) == [ref]
    await step(store, ref, an_activation(1, process="out", accepted=True))
    assert await store.unanswered(-1, 10) == []
    await step(store, ref, an_activation(1, process="out", accepted=True, stopping="cancelled"))
    assert await store.unanswered(-1, 10) == [ref]
    await step(store, ref, an_activation(1, phase="done", process="gone"), out=0)
    assert await store.unanswered(-1, 10) == []


async def test_what_was_asked_for_is_not_returned_again_at_once(store: Store) -> None:
    for ref in await on_host(store, 3):
        await step(store, ref, an_activation(1, process="out"), phase="active", out=1)
    assert await store.unanswered(60, 10) == []
    first = await store.unanswered(-60, 2)
    assert len(first) == 2
    second = await store.unanswered(-60, 1)
    assert second[0] not in first


async def test_an_archived_run_wants_its_processes_stopped(store: Store) -> None:
    (ref,) = await on_host(store)
    out = an_activation(1, process="out", accepted=True)
    await step(store, ref, out, phase="archive", outcome="bad", reason="timed out", out=1)
    assert await store.unanswered(-1, 10) == [ref]


async def test_runs_on_lost_hosts(store: Store) -> None:
    working, waiting, ended = await on_host(store, 3)
    out = an_activation(1, process="out")
    await step(store, working, out, phase="active", out=1)
    await step(store, waiting, an_activation(1, phase="waiting"), phase="active", waiting=1)
    await step(store, ended, out, phase="archive", outcome="bad", out=1)
    assert await store.runs_on_lost_hosts(10) == []
    now, _ = await store.agents()
    await store.set_agent_state("a1", "lost", now + timedelta(minutes=1))
    assert sorted(await store.runs_on_lost_hosts(10)) == sorted([(working, "a1", False), (ended, "a1", False)])
    await store.delete_agent("a1")
    assert sorted(await store.runs_on_lost_hosts(10)) == sorted((ref, "a1", True) for ref in (working, waiting, ended))
    assert len(await store.runs_on_lost_hosts(2)) == 2
    await step(store, waiting, host_lost=True)
    await end(store, working)
    assert await store.runs_on_lost_hosts(10) == [(ended, "a1", True)]


async def test_a_run_that_waits_on_an_ephemeral_host_that_left_is_found(store: Store) -> None:
    (ref,) = await on_host(store)
    await step(store, ref, an_activation(1, phase="waiting"), phase="active", waiting=1)
    await store.beat([an_agent(state="left")])
    assert await store.runs_on_lost_hosts(10) == []
    await store.beat([an_agent(state="left", ephemeral=True)])
    assert await store.runs_on_lost_hosts(10) == [(ref, "a1", True)]


async def test_pends_without_a_host_are_noticed(store: Store) -> None:
    assert not await store.unannounced_pends(-1)
    await adopt(store)
    assert await store.unannounced_pends(0)
    assert not await store.unannounced_pends(100 * 365 * 86_400)
    await end(store, (await store.placement_view(1)).pends[0].ref)
    assert not await store.unannounced_pends(0)


async def test_a_trigger_pends_until_its_run_starts(store: Store) -> None:
    assert not await store.pending_of_trigger("build", "go")
    (run,) = await adopt(store)
    assert await store.pending_of_trigger("build", "go")
    assert not await store.pending_of_trigger("build", "other")
    await step(store, run.facts.ref, phase="active")
    assert not await store.pending_of_trigger("build", "go")


async def test_due_timers_come_oldest_first_with_one_that_is_next(store: Store) -> None:
    (run,) = await adopt(store)
    ref = run.facts.ref
    now, none = await store.due_timers(5)
    assert none == []
    times = [now - timedelta(seconds=9), now - timedelta(seconds=5), now + timedelta(hours=1), now + timedelta(hours=2)]
    timers = [Timer(ref, n, "wait", due_at) for n, due_at in enumerate(times)]
    await change_timers(store, ref, RunChange(run.state, 0, set_timers=list(reversed(timers))))
    _, found = await store.due_timers(10)
    assert list(found) == timers[:3]
    assert list((await store.due_timers(1))[1]) == timers[:1]
    moved = Timer(ref, 1, "wait", now - timedelta(seconds=20))
    change = RunChange(run.state, 0, set_timers=[moved], cleared_timers=[(0, "wait"), (1, "wait"), (2, "timeout")])
    await change_timers(store, ref, change)
    assert list((await store.due_timers(10))[1]) == [moved, timers[2]]


async def change_timers(store: Store, ref: RunRef, change: RunChange) -> None:
    async with store.transaction() as transaction:
        (run,) = await lock(transaction, ref)
        base = stepped(run)
        both = RunChange(
            base.state, base.before_rev, set_timers=change.set_timers, cleared_timers=change.cleared_timers
        )
        await transaction.save([], [both], {})


async def test_schedules_keep_their_time_unless_their_rule_changes(store: Store) -> None:
    one, two = Schedule("f", 1, "a", "10s", AT), Schedule("f", 1, "b", "20s", AT + timedelta(seconds=1))
    await store.sync_schedules([two, one])
    later = AT + timedelta(hours=1)
    await store.sync_schedules([Schedule("f", 2, "a", "10s", later), Schedule("f", 2, "b", "30s", later)])
    now, found = await store.schedules()
    assert list(found) == [Schedule("f", 2, "a", "10s", AT), Schedule("f", 2, "b", "30s", later)]
    await store.sync_schedules([found[1]])
    assert [each.trigger for each in (await store.schedules())[1]] == ["b"]
    await store.sync_schedules([])
    assert list((await store.schedules())[1]) == []
    assert now.utcoffset() == timedelta(0)


async def test_a_schedule_advances_once(store: Store) -> None:
    schedule, later = Schedule("f", 1, "a", "10s", AT), AT + timedelta(seconds=10)
    await store.sync_schedules([schedule])
    async with store.transaction() as transaction:
        assert await transaction.advance_schedule(schedule, later)
        now = transaction.now
    async with store.transaction() as transaction:
        assert not await transaction.advance_schedule(schedule, later)
    (found,) = (await store.schedules())[1]
    assert (found.next_at, found.last_at) == (later, now)
