"""A run from its trigger to the archive through a real hub, dispatcher, bus and store; and what is said again."""

from dataclasses import replace

import pytest

from shared.flows.model import Node
from shared.store.port import TriggerRow
from tests.runs.flows import flow, merge, task
from tests.services.hub.house import House
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_a_run_goes_from_trigger_to_archive(house: House) -> None:
    await house.put(flow(task("a", "trigger.good"), task("z", "task.a.good", "end")))
    await house.trigger(opts={"who": "me"})
    (run,) = await house.ended()
    assert (run.row.outcome, run.row.host, run.row.flow) == ("good", "a1", "f")
    assert run.row.ref.startswith("h1-")
    assert house.puppet.offers[0].opts["who"] == "me"
    await wait_until(lambda: ("finished", run.row.ref, 1) in house.puppet.settled, 5, "the report is settled")
    events = await house.store.events(run.row.ref, 0, 100)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].tag == "sys.end.all"


async def test_the_same_trigger_twice_makes_one_run(house: House) -> None:
    await house.put(flow(task("a", "trigger.good")))
    await house.trigger("t1")
    await house.trigger("t1")
    await house.trigger("t2")
    await house.ended(2)
    assert len(await house.runs()) == 2


async def test_t01_each_matching_flow_gets_one_run_and_every_flow_a_verdict(house: House) -> None:
    one = flow(task("a", "trigger.good"))
    clock = Node("tick", "tick", "trigger", "cron", opts={"expression": "0 0 1 1 *"})
    await house.put(one, replace(one, id="g"), replace(one, id="c", triggers=(clock,)))
    await house.trigger("all", flow=None, broadcast=True)
    await house.ended(2)
    row = await house.store.trigger("all")
    assert row is not None
    assert [(v.flow, v.matched) for v in row.verdicts] == [("c", False), ("f", True), ("g", True)]
    assert row.verdicts[0].why == "it has no data trigger"
    assert len(row.runs) == 2


async def test_t02_a_flow_without_ver_means_its_latest(house: House) -> None:
    first = flow(task("a", "trigger.good"))
    await house.put(first, replace(first, ver=2, tasks=(task("b", "trigger.good"),)))
    await house.trigger("latest")
    await house.trigger("named", ver=1)
    runs = await house.ended(2)
    assert sorted((run.row.trigger_id, run.row.ver) for run in runs) == [("latest", 2), ("named", 1)]
    assert sorted(offer.node for offer in house.puppet.offers) == ["a", "b"]


async def test_t02_run_opts_are_the_triggers_overlaid_by_the_events(house: House) -> None:
    trigger = Node("go", "go", "trigger", "data", opts={"x": 1, "y": 1})
    await house.put(replace(flow(task("a", "trigger.good")), triggers=(trigger,)))
    await house.trigger(opts={"y": 2})
    (run,) = await house.ended()
    assert dict(run.opts) == {"x": 1, "y": 2}


async def test_t03_values_are_checked_against_the_form(house: House) -> None:
    form = {"fields": [{"id": "n", "type": "number", "required": True}, {"id": "m", "value": "dflt"}]}
    trigger = Node("go", "go", "trigger", "data", opts={"form": form})
    await house.put(replace(flow(task("a", "trigger.good")), triggers=(trigger,)))
    await house.trigger("bad", opts={"n": "seven"})
    await house.trigger("good", opts={"n": "7", "cmd": "rm"})
    (run,) = await house.ended()
    assert dict(run.opts) == {"n": 7, "m": "dflt", "cmd": "rm"}
    row = await house.store.trigger("bad")
    assert row is not None
    assert not row.runs
    assert row.verdicts[0].why.startswith("n: ")


async def test_t01_the_end_of_a_flow_starts_another(house: House) -> None:
    first = flow(task("a", "trigger.good"))
    after = Node("after", "after", "trigger", "flow", opts={"flow": "f", "outcome": ["bad"]})
    await house.put(first, replace(first, id="g", triggers=(after,)))
    await house.trigger("t1")
    await house.ended()
    house.puppet.answer = lambda offer: {"status": 1 if offer.flow == "f" else 0}
    await house.trigger("t2")
    runs = {run.row.flow: run for run in await house.ended(3)}
    assert runs["g"].opts["outcome"] == "bad"
    assert runs["g"].row.trigger_id.startswith("flow/h1-")


async def test_t07_later_edits_do_not_touch_a_pend(house: House) -> None:
    await house.put(flow(task("a", "trigger.good"), host_tags=("later",)))
    await house.trigger()
    await wait_until(lambda: house.runs(phase="pending"), 5, "a pend")
    await house.put(flow(task("b", "trigger.good"), host_tags=("later",)))
    house.puppet.tags = ("later",)
    await house.puppet.beat()
    await house.ended()
    assert [offer.node for offer in house.puppet.offers] == ["a"]


async def test_an_inbox_row_is_adopted_by_the_sweep(house: House) -> None:
    await house.put(flow(task("a", "trigger.good")))
    await house.store.put_inbox(TriggerRow("late", "data", "inbox", {}, flow="f"))
    (run,) = await house.ended()
    assert run.row.trigger_id == "late"


async def test_an_unanswered_offer_is_made_again_unchanged(house: House) -> None:
    house.puppet.answer = lambda offer: None
    await house.put(flow(task("a", "trigger.good")))
    await house.trigger()
    await wait_until(lambda: len(house.puppet.offers) >= 3, 10, "three offers")
    first = house.puppet.offers[0]
    assert all(offer.epoch == first.epoch and offer.opts == first.opts for offer in house.puppet.offers)
    await house.puppet.finish(first, status=0)
    await house.ended()


async def test_an_unanswered_stop_is_said_again_and_claims_are_kept_until_then(house: House) -> None:
    house.puppet.answer = lambda offer: None
    await house.put(flow(task("a", "trigger.good"), resource_tags=("db",)))
    await house.trigger()
    await wait_until(lambda: house.puppet.offers, 5, "an offer")
    from shared.bus import messages as m

    ref = house.puppet.offers[0].run
    await house.bus.publish([m.CancelRequested(id="c", at=house.puppet.offers[0].at, run=ref)])
    await wait_until(lambda: len(house.puppet.stops) >= 2, 10, "two stops")
    assert [claim.key for claim in (await house.store.placement_view(10)).claims] == ["tag:db"]
    await house.puppet.finish(house.puppet.offers[0], status=143)

    async def free() -> bool:
        return not (await house.store.placement_view(10)).claims

    await wait_until(free, 5, "no claims")
    (run,) = await house.ended()
    assert run.row.outcome == "cancelled"


async def test_fifty_parallel_tasks_and_a_merge(house: House) -> None:
    names = [f"t{i}" for i in range(50)]
    tasks = [task(name, "trigger.good") for name in names]
    await house.put(flow(*tasks, merge("m", *(f"task.{n}.good" for n in names)), task("z", "merge.m.good", "end")))
    await house.trigger()
    (run,) = await house.ended()
    assert run.row.outcome == "good"
    assert len({offer.n for offer in house.puppet.offers}) == 50


async def test_timers_fire_after_their_time(house: House) -> None:
    await house.put(flow(task("t", "trigger.good", "timer", opts={"period": 0.2}), task("a", "task.t.good")))
    await house.trigger()
    (run,) = await house.ended()
    times = {activation.node: activation for activation in run.activations}
    assert times["t"].stopped_at is not None
    assert times["t"].started_at is not None
    assert (times["t"].stopped_at - times["t"].started_at).total_seconds() >= 0.2


async def test_t04_a_timer_trigger_fires_and_adds_none_while_one_pends(house: House) -> None:
    tick = Node("tick", "tick", "trigger", "timer", opts={"period": 1})
    await house.put(replace(flow(task("a", "trigger.good"), host_tags=("nobody",)), triggers=(tick,)))
    await wait_until(house.runs, 5, "the first fire")

    async def refused() -> bool:
        _, schedules = await house.store.schedules()
        previous = schedules[0].last_at
        return previous is not None and (schedules[0].next_at - run.created_at).total_seconds() > 2

    (run,) = await house.runs()
    await wait_until(refused, 5, "the second fire")
    assert len(await house.runs()) == 1
