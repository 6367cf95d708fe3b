"""Lists by key, one run whole, events, triggers, request keys."""

import pytest

from shared.runs.refs import RunRef
from shared.store.port import RunFilter, Store
from tests.store.make import AT, a_flow, a_trigger, adopt, an_activation, an_event, end, step

pytestmark = pytest.mark.anyio


async def refs(store: Store, wanted: RunFilter, limit: int = 50, before: int | None = None) -> list[RunRef]:
    return [row.ref for row in await store.runs(wanted, limit, before)]


async def test_runs_are_listed_newest_first_by_key(store: Store) -> None:
    made = [run.facts.ref for run in await adopt(store, 5)]
    first = await store.runs(RunFilter(), 2)
    assert [row.ref for row in first] == [made[4], made[3]]
    assert await refs(store, RunFilter(), 2, before=first[-1].number) == [made[2], made[1]]
    assert first[0].created_at == AT


async def test_runs_are_filtered_by_everything(store: Store) -> None:
    (one,) = await adopt(store)
    (two,) = await adopt(store, flow=a_flow("deploy"))
    await end(store, two.facts.ref, outcome="bad", host="a1")
    mine, other = one.facts.ref, two.facts.ref
    assert await refs(store, RunFilter(flow="deploy")) == [other]
    assert await refs(store, RunFilter(phase="pending")) == [mine]
    assert await refs(store, RunFilter(phase="archive", outcome="bad")) == [other]
    assert await refs(store, RunFilter(outcome="good")) == []
    assert await refs(store, RunFilter(host="a1")) == [other]
    assert await refs(store, RunFilter(trigger=one.facts.trigger_id)) == [mine]
    assert await refs(store, RunFilter(flow="build", host="a1")) == []


async def test_a_run_is_shown_with_the_latest_activation_of_each_node(store: Store) -> None:
    (run,) = await adopt(store, opts={"branch": "main"})
    ref = run.facts.ref
    await step(store, ref, an_activation(1, "a", phase="done"), an_activation(2, "b"), an_activation(3, "a"), seq=4)
    detail = await store.run(ref)
    assert detail is not None
    assert (detail.definition, detail.opts, detail.seq) == (run.facts.definition, {"branch": "main"}, 4)
    assert [(each.node, each.n) for each in detail.activations] == [("b", 2), ("a", 3)]
    assert detail.counts == {"a": 2, "b": 1}
    assert [each.n for each in await store.activations(ref, "a")] == [1, 3]
    assert await store.activations(RunRef(f"other-{run.facts.number}"), "a") == []
    assert await store.run(RunRef("h1-999")) is None


async def test_an_activation_reads_back_whole(store: Store) -> None:
    (run,) = await adopt(store)
    whole = an_activation(
        1,
        "m",
        type="any",
        phase="done",
        came=("task.a.good",),
        values={"x": None},
        process="gone",
        stopping="why",
        started_at=AT,
        stopped_at=AT,
        due_at=AT,
        status=-9,
        result="error",
        reason="ends\0here \ud800",
        accepted=True,
        log_length=2**40,
        recording=True,
    )
    after = await step(store, run.facts.ref, whole)
    (found,) = await store.activations(run.facts.ref, "m")
    assert found.reason == "ends\ufffdhere ?"
    assert found == type(whole)(**{name: getattr(whole, name) for name in whole.__slots__} | {"reason": found.reason})
    assert after.state.open.keys() == {1}


async def test_events_come_in_order_from_after_a_seq(store: Store) -> None:
    (run,) = await adopt(store)
    ref = run.facts.ref
    events = [an_event(ref, seq, f"task.t{seq}.good", value={"deep": [seq]}) for seq in range(2, 6)]
    await step(store, ref, events=events)
    assert list(await store.events(ref, 1, 10)) == events
    assert [each.seq for each in await store.events(ref, 2, 2)] == [3, 4]
    assert await store.events(RunRef(f"other-{run.facts.number}"), 0, 10) == []


async def test_a_trigger_waits_in_the_inbox_until_it_is_settled(store: Store) -> None:
    await store.put_inbox(a_trigger("t1", state="inbox", opts={"a": 1}, received_at=None))
    await store.put_inbox(a_trigger("t1", state="inbox", opts={"b": 2}))
    (waiting,) = await store.inbox(5)
    assert (waiting.id, waiting.state, waiting.opts) == ("t1", "inbox", {"a": 1})
    async with store.transaction() as transaction:
        assert await transaction.known_triggers(["t1"]) == frozenset()
        await transaction.save([a_trigger("t1", RunRef("h1-1"), broadcast=True)], [], {})
    assert await store.inbox(5) == []
    await store.put_inbox(a_trigger("t1", state="inbox"))
    assert await store.inbox(5) == []
    settled = await store.trigger("t1")
    assert settled == a_trigger("t1", RunRef("h1-1"), broadcast=True)
    assert await store.trigger("none") is None


async def test_a_request_key_keeps_its_first_request(store: Store) -> None:
    assert await store.remember("k", "print", "t1") == ("print", "t1")
    assert await store.remember("k", "other", "t2") == ("print", "t1")
    assert await store.remember("k2", "other", "t2") == ("other", "t2")
