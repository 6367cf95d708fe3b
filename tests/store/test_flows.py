"""Flows and versions (FLOWS F-05), arming, pausing, and the list with last runs."""

import pytest

from shared.errors import NotFound
from shared.store.port import Store
from tests.store.make import a_flow, adopt

pytestmark = pytest.mark.anyio


async def generation(store: Store) -> int:
    return (await store.latest_flows())[0]


async def test_an_identical_flow_is_stored_once(store: Store) -> None:
    first, new = await store.put_flow(a_flow(), source="api")
    again, newer = await store.put_flow(a_flow(), source="api")
    assert (new, newer) == (True, False)
    assert again == first


async def test_another_text_under_a_taken_version_gets_the_highest_plus_one(store: Store) -> None:
    await store.put_flow(a_flow(), source="api")
    await store.put_flow(a_flow(ver=4, cmd="four"), source="api")
    stored, new = await store.put_flow(a_flow(cmd="other"), source="api")
    assert (stored.flow.ver, new) == (5, True)
    assert [each.flow.ver for each in await store.flow_versions("build")] == [5, 4, 1]


async def test_the_latest_is_the_highest_version_not_the_last_put(store: Store) -> None:
    await store.put_flow(a_flow(ver=3, cmd="three"), source="api")
    await store.put_flow(a_flow(ver=2, cmd="two"), source="api")
    latest = await store.flow("build")
    assert latest is not None
    assert latest.flow.ver == 3
    older = await store.flow("build", 2)
    assert older is not None
    assert older.flow == a_flow(ver=2, cmd="two")
    named = await store.flow_version("build", 2)
    assert named is not None
    assert named.flow == older.flow
    now = await generation(store)
    assert await store.latest_flows(now) == (now, [])
    assert await store.flow("build", 9) is None
    assert await store.flow("none") is None
    assert await store.flow_version("build", 9) is None


async def test_problems_and_source_are_those_of_the_last_put(store: Store) -> None:
    await store.put_flow(a_flow(), source="api", problems=[{"what": "x"}])
    stored, _ = await store.put_flow(a_flow(), source="conf")
    assert (stored.source, list(stored.problems)) == ("conf", [])


async def test_every_change_raises_the_generation(store: Store) -> None:
    seen = [await generation(store)]
    await store.put_flow(a_flow(), source="conf")
    seen.append(await generation(store))
    await store.pause_flow("build", "ann: broken")
    seen.append(await generation(store))
    await store.disarm_flows("conf", [])
    seen.append(await generation(store))
    assert seen == sorted(set(seen))
    async with store.transaction() as transaction:
        assert await transaction.flow_generation() == seen[-1]


async def test_known_flows_are_not_read_again(store: Store) -> None:
    await store.put_flow(a_flow(), source="api")
    known, flows = await store.latest_flows(known=0)
    assert [each.flow for each in flows] == [a_flow()]
    assert await store.latest_flows(known) == (known, [])


async def test_flows_that_left_their_source_lose_their_triggers(store: Store) -> None:
    for name, source in (("a", "conf"), ("b", "conf"), ("c", "api")):
        await store.put_flow(a_flow(name), source=source)
    assert await store.disarm_flows("conf", {"a"}) == ["b"]
    assert await store.disarm_flows("conf", {"a"}) == []
    assert [each.flow.id for each in (await store.latest_flows())[1]] == ["a", "c"]
    gone = await store.flow("b")
    assert gone is not None
    assert not gone.armed
    back, new = await store.put_flow(a_flow("b"), source="conf")
    assert (back.armed, new) == (True, False)


async def test_a_pause_outlives_new_versions(store: Store) -> None:
    await store.put_flow(a_flow(), source="api")
    await store.pause_flow("build", "ann: broken")
    stored, _ = await store.put_flow(a_flow(cmd="new"), source="api")
    assert stored.paused == "ann: broken"
    await adopt(store, 1)
    assert [each.paused for each in (await store.placement_view(5)).pends] == ["ann: broken"]
    await store.pause_flow("build", None)
    assert [each.paused for each in (await store.placement_view(5)).pends] == [None]
    with pytest.raises(NotFound):
        await store.pause_flow("none", "x")


async def test_flows_are_listed_by_key_with_their_last_runs(store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        await store.put_flow(a_flow(name), source="api")
        await store.put_flow(a_flow(name, cmd="newer"), source="api")
    runs = await adopt(store, 3, flow=a_flow("b"))
    await adopt(store, 1, flow=a_flow("d"))
    first = await store.flows(2, runs=2)
    rest = await store.flows(5, after="b", runs=0)
    assert [(each.stored.flow.id, each.stored.flow.ver) for each in first] == [("a", 2), ("b", 2)]
    assert [[run.ref for run in each.runs] for each in first] == [[], [runs[2].facts.ref, runs[1].facts.ref]]
    assert [each.stored.flow.id for each in rest] == ["c", "d"]
    assert [len(each.runs) for each in await store.flows(9)] == [0, 1, 0, 1]
    assert await store.flows(5, after="z") == []
