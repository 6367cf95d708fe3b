"""The dispatcher's part: hosts, pends, claims (FLOWS D-04, D-06, D-07)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import NotFound
from shared.placement import AgentRow, Assignment, PlacementView
from shared.runs.refs import RunRef
from shared.store.port import Store
from tests.store.make import adopt, an_activation, an_agent, end, lock, step, stepped

pytestmark = pytest.mark.anyio


async def assign(store: Store, *assignments: Assignment) -> dict[RunRef, int]:
    async with store.placement() as placement:
        return dict(await placement.assign(assignments))


async def view(store: Store, limit: int = 50) -> PlacementView:
    async with store.placement() as placement:
        return await placement.view(limit)


async def host(store: Store, name: str = "a1") -> AgentRow:
    return next(each for each in (await store.agents())[1] if each.host == name)


async def test_the_oldest_pends_come_first_and_both_views_agree(store: Store) -> None:
    runs = await adopt(store, 4, resource_tags=("db",), host_tags=("linux",))
    await store.beat([an_agent()])
    seen = await view(store, 3)
    assert [each.ref for each in seen.pends] == [run.facts.ref for run in runs[:3]]
    assert seen.pends[0].resource_tags == ("db",)
    assert seen.pends[0].host_tags == ("linux",)
    assert seen.ever_tags == (frozenset({"linux"}),)
    other = await store.placement_view(3)
    assert (other.pends, other.agents, other.claims) == (seen.pends, seen.agents, seen.claims)


async def test_an_assignment_sets_the_host_raises_the_epoch_and_takes_claims(store: Store) -> None:
    (run,) = await adopt(store)
    await store.beat([an_agent()])
    ref = run.facts.ref
    assert await assign(store, Assignment(ref, "a1", ("tag:db", "space:a1:build"))) == {ref: 1}
    assert await assign(store, Assignment(ref, "a2", ())) == {}
    seen = await view(store)
    assert seen.pends == ()
    assert {(each.key, each.run, each.host) for each in seen.claims} == {
        ("tag:db", ref, "a1"),
        ("space:a1:build", ref, "a1"),
    }
    assert await store.unstarted(5) == [(ref, "a1", 1)]
    async with store.transaction() as transaction:
        found = (await transaction.lock_runs([ref], {ref: run})).runs[ref]
    assert (found.state.host, found.state.epoch) == ("a1", 1)


async def test_claims_are_all_or_nothing_and_exclusive_within_a_batch(store: Store) -> None:
    one, two, three, four = (run.facts.ref for run in await adopt(store, 4))
    assert await assign(store, Assignment(one, "a1", ("tag:x",))) == {one: 1}
    got = await assign(
        store,
        Assignment(two, "a1", ("tag:y", "tag:x")),
        Assignment(three, "a1", ("tag:y",)),
        Assignment(four, "a1", ("tag:y",)),
    )
    assert got == {three: 1}
    assert {each.key: each.run for each in (await view(store)).claims} == {"tag:x": one, "tag:y": three}


async def test_twenty_dispatchers_never_give_a_tag_twice(store: Store) -> None:
    runs = await adopt(store, 20)
    answers = await asyncio.gather(
        *(assign(store, Assignment(run.facts.ref, "a1", (f"tag:{n % 3}", "tag:all"))) for n, run in enumerate(runs))
    )
    assert sum(len(each) for each in answers) == 1
    assert len((await view(store)).claims) == 2


async def test_claims_come_free_with_the_change_that_says_so(store: Store) -> None:
    one, two = (run.facts.ref for run in await adopt(store, 2))
    await assign(store, Assignment(one, "a1", ("tag:x",)))
    await end(store, one)
    assert (await view(store)).claims == ()
    assert await assign(store, Assignment(two, "a1", ("tag:x",))) == {two: 1}


async def test_a_slot_is_used_by_runs_with_processes_out_or_about_to_start(store: Store) -> None:
    one, two, three = (run.facts.ref for run in await adopt(store, 3))
    await store.beat([an_agent()])
    await assign(store, *(Assignment(ref, "a1", ()) for ref in (one, two, three)))
    assert (await host(store)).used == 3
    await step(store, one, an_activation(1, process="out"), phase="active", out=1)
    await step(store, two, an_activation(1, phase="waiting"), phase="active", waiting=1)
    assert (await host(store)).used == 2
    await end(store, one)
    assert (await view(store)).agents[0].used == 1


@pytest.mark.parametrize(
    ("state", "installation", "taken"),
    [("up", "i1", True), ("up", "i2", False), ("away", "i2", False), ("lost", "i2", True), ("deleted", "i2", True)],
)
async def test_one_name_one_installation(store: Store, state: Any, installation: str, taken: bool) -> None:
    await store.beat([an_agent(slots=4)])
    now, _ = await store.agents()
    assert await store.set_agent_state("a1", state, now + timedelta(minutes=1))
    refused = await store.beat([an_agent(slots=8, installation=installation)])
    assert ("a1" not in refused) is taken
    after = await host(store)
    assert (after.slots, after.state) == ((8, "up") if taken else (4, state))


async def test_a_name_is_free_again_once_the_runs_of_its_last_installation_are_ended(store: Store) -> None:
    await store.beat([an_agent()])
    (one,) = (run.facts.ref for run in await adopt(store, 1))
    await assign(store, Assignment(one, "a1", ()))
    await step(store, one, an_activation(1, process="out"), phase="active", out=1)
    now, _ = await store.agents()
    await store.set_agent_state("a1", "lost", now + timedelta(minutes=1))
    assert "a1" in await store.beat([an_agent(installation="i2")])
    await end(store, one, out=0)
    assert await store.beat([an_agent(installation="i2")]) == {}


async def test_one_that_leaves_to_come_back_is_away(store: Store) -> None:
    await store.beat([an_agent(state="away")])
    assert (await host(store)).state == "away"


async def test_a_beat_keeps_what_an_operator_said(store: Store) -> None:
    await store.beat([an_agent()])
    await store.set_draining("a1", True)
    await store.beat([an_agent(running=2, disk_free_bytes=2**40)])
    after = await host(store)
    assert (after.draining, after.running, after.disk_free_bytes) == (True, 2, 2**40)
    assert after.last_seen_at is not None
    await store.beat([an_agent(state="left")])
    assert (await host(store)).state == "left"
    for change in (store.set_draining("none", True), store.delete_agent("none")):
        with pytest.raises(NotFound):
            await change


async def test_a_state_is_not_set_over_a_later_beat(store: Store) -> None:
    before, _ = await store.agents()
    await store.beat([an_agent()])
    assert not await store.set_agent_state("a1", "lost", before - timedelta(seconds=1))
    assert (await host(store)).state == "up"


async def test_every_set_of_tags_is_remembered_for_deleted_hosts_too(store: Store) -> None:
    for n in range(25):
        await store.beat([an_agent(tags=("linux", f"v{n}"))])
    await store.delete_agent("a1")
    seen = await view(store)
    assert seen.agents == ()
    assert len(seen.ever_tags) == 20
    assert frozenset({"linux", "v24"}) in seen.ever_tags
    assert (await host(store)).state == "deleted"


async def test_pends_of_a_gone_host_are_given_back_with_their_claims(store: Store) -> None:
    one, two = (run.facts.ref for run in await adopt(store, 2))
    await store.beat([an_agent("a1"), an_agent("a2")])
    await assign(store, Assignment(one, "a1", ("tag:x",)), Assignment(two, "a2", ("tag:y",)))
    await store.delete_agent("a1")
    assert await store.unassign_lost() == [one]
    assert await store.unassign_lost() == []
    seen = await view(store)
    assert [each.ref for each in seen.pends] == [one]
    assert [each.key for each in seen.claims] == ["tag:y"]
    assert await assign(store, Assignment(one, "a2", ("tag:x",))) == {one: 2}


async def test_a_started_run_is_not_given_back(store: Store) -> None:
    (run,) = await adopt(store)
    await store.beat([an_agent()])
    await assign(store, Assignment(run.facts.ref, "a1", ()))
    await store.delete_agent("a1")
    async with store.transaction() as transaction:
        (found,) = await lock(transaction, run.facts.ref)
        await transaction.save([], [stepped(found, an_activation(1, process="out"), phase="active", out=1)], {})
    assert await store.unassign_lost() == []


async def test_which_runs_have_ended_or_are_not_known(store: Store) -> None:
    one, two = (run.facts.ref for run in await adopt(store, 2))
    await end(store, one)
    unknown = RunRef("h1-999")
    assert await store.ended([one, two, unknown]) == {one, unknown}
