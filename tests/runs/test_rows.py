"""FLOWS §2, §5 and the waiting types of §6, row by row, on the bare machine."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.runs.effects import ClearTimer, EndRun, FreeClaims, RequestData, SetTimer, StartTask, StopTask
from shared.runs.events import (
    Assigned,
    Cancel,
    DataSubmitted,
    HostLost,
    TaskAccepted,
    TaskFinished,
    TaskStarted,
    TimerFired,
)
from shared.runs.nodes import MAX_ACTIVATIONS
from tests.runs.flows import T0, World, flow, merge, task


def begun(*nodes: object, **more: object) -> World:
    world = World(flow(*nodes, **more))  # type: ignore[arg-type]
    world.feed(Assigned(world.at, "h", 1))
    return world


def tags(world: World) -> list[str]:
    return [event.tag for event in world.events]


def done(world: World, n: int, status: int = 0, **more: object) -> None:
    world.tick(1)
    world.feed(TaskFinished(world.at, n, 1, status=status, **more))  # type: ignore[arg-type]


def ended(world: World) -> tuple[str | None, str]:
    assert world.run.phase == "archive"
    return world.run.outcome, world.run.reason


# --- §2 events -------------------------------------------------------------------------------------------------------


def test_e01_seq_counts_from_one_and_the_first_event_carries_the_trigger() -> None:
    world = begun(task("a", "trigger.good"))
    done(world, 1)
    assert [event.seq for event in world.events] == list(range(1, len(world.events) + 1))
    first = world.events[0]
    assert (first.tag, first.opts["action"]) == ("sys.state", "add-pend")
    assert first.opts["trigger"] == {"id": "t1", "type": "data", "node": "go", "opts": {"who": "me"}}
    assert all(event.opts is not None for event in world.events)


def test_e02_only_exact_tags_match() -> None:
    world = begun(task("a", "trigger.good"), task("b", "task.a"), task("c", "task.a.good"))
    done(world, 1)
    assert [a.node for a in world.run.open.values()] == ["c"]


def test_e04_the_order_of_a_run() -> None:
    world = begun(task("a", "trigger.good"), task("z", "task.a.good", "end"))
    world.feed(TaskStarted(world.at, 1, 1))
    done(world, 1)
    actions = [event.opts.get("action") for event in world.events[:3]]
    assert actions == ["add-pend", "activate", "remove-pend"]
    assert tags(world)[3:] == [
        "trigger.good", "sys.node.start", "sys.node.update", "task.a.good", "sys.node.start", "sys.end.all",
    ]  # fmt: skip


def test_e04_a_cancelled_pend() -> None:
    world = World(flow(task("a", "trigger.good")))
    world.feed(Cancel(world.at))
    assert [event.opts.get("action", event.tag) for event in world.events] == ["add-pend", "remove-pend", "sys.end.all"]
    assert ended(world)[0] == "cancelled"
    assert world.of(FreeClaims)


def test_e05_an_archived_run_takes_no_event_but_notes_that_a_late_process_is_gone() -> None:
    world = begun(task("a", "trigger.good"), task("b", "trigger.good"))
    done(world, 1, status=1)
    assert ended(world)[0] == "bad"
    assert not world.of(FreeClaims)
    before = len(world.events)
    done(world, 2, status=143)
    assert len(world.events) == before
    assert world.of(FreeClaims)
    assert world.steps[-1][2].touched[0].status == 143


def test_e05_events_before_activation_change_nothing() -> None:
    world = World(flow(task("a", "trigger.good", "data")))
    world.feed(DataSubmitted(world.at, "a", {"good": True}))
    world.feed(TimerFired(world.at, 1, "wait"))
    assert world.run == world.adopted


# --- §5 nodes --------------------------------------------------------------------------------------------------------


def test_n01_a_node_gets_its_events_opts() -> None:
    world = begun(task("a", "trigger.good"), task("b", "task.a.good"))
    done(world, 1, opts={"made": "x"})
    assert world.run.open[2].opts == {"made": "x"}
    assert world.run.opts == {"who": "me"}


def test_n02_all_listeners_start() -> None:
    world = begun(*(task(f"t{i}", "trigger.good") for i in range(5)))
    assert [e.n for e in world.of(StartTask)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "status", "tag", "good"),
    [
        ({}, 0, "task.a.good", True),
        ({}, 1, "task.a.bad", False),
        ({"good": (0, 3)}, 3, "task.a.good", True),
        ({"good": (3,)}, 0, "task.a.bad", False),
        ({"ignore_fail": True}, 1, "task.a.good", True),
        ({"use_status": True}, 0, "task.a.0", True),
        ({"use_status": True}, 3, "task.a.3", False),
        ({"use_status": True, "good": (3,)}, 3, "task.a.3", True),
        ({"use_status": True, "ignore_fail": True}, 3, "task.a.good", True),
    ],
)
def test_n03_status_to_tag(options: dict[str, object], status: int, tag: str, good: bool) -> None:
    world = begun(task("a", "trigger.good", **options), task("b", tag, "timer"))
    done(world, 1, status=status)
    event = next(e for e in world.events if e.tag.startswith("task."))
    assert (event.tag, event.good) == (tag, good)
    assert world.run.phase == "active"


@pytest.mark.parametrize(("ignore", "tag"), [(False, "task.a.error"), (True, "task.a.good")])
def test_n04_what_cannot_be_executed_is_an_error(ignore: bool, tag: str) -> None:
    world = begun(task("a", "trigger.good", ignore_fail=ignore, use_status=True), task("b", tag, "timer"))
    world.feed(TaskFinished(world.at, 1, 1, error="no such type"))
    assert tag in tags(world)
    closed = world.steps[-1][2].touched[0]
    assert (closed.result, closed.reason) == ("error", "no such type")


@pytest.mark.parametrize(("status", "outcome"), [(0, "good"), (1, "bad")])
def test_n05a_an_end_takes_its_events_word(status: int, outcome: str) -> None:
    world = begun(
        task("a", "trigger.good"), task("z", "task.a.good", "end"), task("y", "task.a.bad", "end"),
        task("c", "trigger.good"),
    )  # fmt: skip
    done(world, 1, status=status)
    assert ended(world)[0] == outcome
    assert [e.n for e in world.of(StopTask)] == [2]


def test_n05b_a_bad_event_that_nobody_hears_ends_the_run_at_once() -> None:
    world = begun(task("a", "trigger.good"), task("b", "trigger.good"))
    done(world, 1, status=2)
    assert ended(world) == ("bad", "a: exited with status 2")
    assert [e.n for e in world.of(StopTask)] == [2]


def test_n05b_a_merges_wait_hears_it() -> None:
    world = begun(task("a", "trigger.good"), task("b", "trigger.good"), merge("m", "task.a.bad", "task.b.good"))
    done(world, 1, status=2)
    assert world.run.phase == "active"


def test_n05c_nothing_open_is_good() -> None:
    world = begun(task("a", "trigger.good"))
    done(world, 1)
    assert ended(world) == ("good", "")


def test_n05c_a_half_full_merge_is_stalled() -> None:
    world = begun(task("a", "trigger.good"), merge("m", "task.a.good", "task.a.bad"))
    done(world, 1)
    assert ended(world) == ("bad", "stalled: merge m waits for task.a.bad")


def test_n08_a_node_over_its_time_is_stopped_and_errs_once_it_is_gone() -> None:
    world = begun(task("a", "trigger.good", timeout_seconds=300.0), task("b", "task.a.error"))
    world.feed(TaskStarted(world.at, 1, 1))
    timer = world.of(SetTimer)[0]
    assert timer.due_at == world.at + timedelta(seconds=300)
    world.feed(TimerFired(timer.due_at - timedelta(seconds=1), 1, "timeout"))
    assert not world.of(StopTask)
    world.feed(TimerFired(timer.due_at, 1, "timeout"))
    assert [e.reason for e in world.of(StopTask)] == ["timed out after 5m"]
    assert "task.a.error" not in tags(world)
    done(world, 1, status=143)
    assert "task.a.error" in tags(world)
    assert next(a for a in world.steps[-1][2].touched if a.node == "a").reason == "timed out after 5m"


def test_n08_a_run_over_its_time_ends_bad() -> None:
    world = begun(task("a", "trigger.good", "data"), timeout_seconds=30.0)
    assert world.of(SetTimer)[0].n == 0
    world.feed(TimerFired(T0 + timedelta(seconds=30), 0, "timeout"))
    assert ended(world) == ("bad", "timed out after 30s")


def test_n09_cancel_stops_what_runs_and_frees_claims_when_it_is_gone() -> None:
    world = begun(task("a", "trigger.good"), task("d", "trigger.good", "data"))
    world.feed(Cancel(world.at, "cancelled by ann"))
    assert ended(world) == ("cancelled", "cancelled by ann")
    assert [e.n for e in world.of(StopTask)] == [1]
    assert not world.of(FreeClaims)
    done(world, 1, status=143)
    assert world.of(FreeClaims)


def test_n10_a_cycle_makes_new_activations() -> None:
    world = begun(task("a", "trigger.good"), task("b", "task.a.good"), task("a2", "task.b.bad"))
    done(world, 1)
    done(world, 2, status=1)
    assert [a.n for a in world.run.open.values()] == [3]


def test_n10_a_tag_that_leads_back_to_an_any_merge_opens_its_next_activation() -> None:
    world = begun(merge("start", "trigger.good", "task.a.bad", kind="any"), task("a", "merge.start.good"))
    done(world, 2, status=1)
    done(world, 4, status=1, opts={"try": "2"})
    assert [(a.n, a.node, a.opts) for a in world.run.open.values()] == [(6, "a", {"try": "2"})]
    done(world, 6)
    assert ended(world) == ("good", "")
    assert tags(world).count("merge.start.good") == 3


def test_n10_a_circle_of_merges_alone_goes_round_once() -> None:
    world = begun(
        merge("m", "trigger.good", "merge.n.good", kind="any"), merge("n", "merge.m.good", "task.a.bad", kind="any"),
        task("a", "merge.n.good"),
    )  # fmt: skip
    assert tags(world).count("merge.m.good") == 1
    done(world, 3)
    assert ended(world) == ("good", "")


def test_n10_a_late_tag_is_noted_also_after_one_that_led_back() -> None:
    world = begun(
        task("x", "trigger.good"), task("y", "trigger.good"),
        merge("start", "task.x.good", "task.y.good", "task.a.bad", kind="any"), task("a", "merge.start.good"),
    )  # fmt: skip
    done(world, 1)
    done(world, 4, status=1)
    done(world, 2)
    assert tags(world).count("merge.start.good") == 2


def test_n10_a_circle_in_a_circle_goes_round_as_often_as_it_is_told() -> None:
    world = begun(
        merge("outer", "trigger.good", "task.b.bad", kind="any"), task("pre", "merge.outer.good"),
        merge("inner", "task.pre.good", "task.a.bad", kind="any"), task("a", "merge.inner.good"),
        task("b", "task.a.good"),
    )  # fmt: skip
    for _ in range(3):
        for status in (0, 1, 1, 0, 1):  # pre, a twice bad, a, b bad: from the start again
            (open_task,) = [a for a in world.run.open.values() if a.process == "out"]
            done(world, open_task.n, status=status)
    for _ in range(3):
        (open_task,) = [a for a in world.run.open.values() if a.process == "out"]
        done(world, open_task.n)
    assert ended(world) == ("good", "")
    assert tags(world).count("merge.outer.good") == 4
    assert tags(world).count("merge.inner.good") == 10


def test_n10_too_many_activations_end_the_run() -> None:
    world = begun(task("a", "trigger.good", ignore_fail=True), task("b", "task.a.good"), task("c", "task.b.good"))
    world.run = replace(world.run, next_n=MAX_ACTIVATIONS + 1)
    done(world, 1)
    outcome, reason = ended(world)
    assert outcome == "bad"
    assert "10000 activations" in reason


def test_n11_a_lost_host_ends_its_runs() -> None:
    world = begun(task("a", "trigger.good"), task("b", "trigger.good"))
    world.feed(HostLost(world.at, "h"))
    assert ended(world) == ("bad", "host h lost")
    assert [a.phase for a in world.steps[-1][2].touched] == ["lost", "lost"]
    assert world.of(FreeClaims)


def test_n11_unless_a_node_without_a_host_listens() -> None:
    world = begun(task("a", "trigger.good"), task("d", "task.a.error", "data"), task("e", "task.d.good"))
    world.feed(HostLost(world.at, "h"))
    assert world.run.phase == "active"
    world.feed(DataSubmitted(world.at, "d", {"good": True}))
    assert ended(world) == ("bad", "host h lost")


def test_n11_a_run_that_only_waits_stays_until_the_host_is_deleted() -> None:
    world = begun(task("d", "trigger.good", "data"))
    world.feed(HostLost(world.at, "h"))
    assert world.run.phase == "active"
    world.feed(HostLost(world.at, "h", gone=True))
    assert ended(world) == ("bad", "host h deleted")


# --- §6 data, timer, merge -------------------------------------------------------------------------------------------


def test_data_waits_for_what_is_missing_and_passes_its_values_on() -> None:
    world = begun(task("d", "trigger.good", "data"), task("e", "task.d.good"))
    assert "sys.data.required" in tags(world)
    assert world.of(RequestData)
    world.feed(DataSubmitted(world.at, "d", {"good": True}, 1))
    event = next(e for e in world.events if e.tag == "task.d.good")
    assert event.opts["values"] == {"good": True}
    assert event.opts["good"] is True
    assert event.opts["form"]["title"] == "sign-off"


def test_data_whose_field_good_is_false_is_bad() -> None:
    world = begun(task("d", "trigger.good", "data"))
    world.feed(DataSubmitted(world.at, "d", {"good": False}))
    assert ended(world)[0] == "bad"


def test_data_adds_up_over_submissions() -> None:
    form = {"fields": [{"id": "a", "required": True}, {"id": "b", "required": True}]}
    world = begun(task("d", "trigger.good", "data", opts={"form": form}))
    world.feed(DataSubmitted(world.at, "d", {"a": ""}))
    assert world.run.phase == "active"
    world.feed(DataSubmitted(world.at, "d", {"b": "2"}))
    assert ended(world)[0] == "good"


def test_data_that_comes_again_does_not_answer_the_next_question() -> None:
    world = begun(task("d", "trigger.good", "data"), task("e", "task.d.bad"), task("f", "task.e.good", "data"))
    answer = DataSubmitted(world.at, "d", {"good": False}, 1)
    world.feed(answer)
    done(world, 2)
    before = world.run
    world.feed(answer)
    assert world.run == before


def test_timer_waits_passes_opts_on_and_never_fires_early() -> None:
    world = begun(task("a", "trigger.good"), task("t", "task.a.good", "timer"), task("b", "task.t.good"))
    done(world, 1, opts={"k": "v"})
    due = world.run.open[2].due_at
    assert due == world.at + timedelta(seconds=5)
    world.feed(TimerFired(due - timedelta(seconds=1), 2, "wait"))
    assert world.run.open[2].phase == "waiting"
    world.feed(TimerFired(due, 2, "wait"))
    assert world.run.open[3].opts == {"k": "v"}
    assert ClearTimer(2, "wait") in world.effects


def test_merge_all_fires_once_with_the_opts_in_order_of_arrival() -> None:
    world = begun(
        task("a", "trigger.good"), task("b", "trigger.good"), merge("m", "task.a.good", "task.b.good"),
        task("c", "merge.m.good"),
    )  # fmt: skip
    done(world, 2, opts={"x": "b", "y": "b"})
    done(world, 1, opts={"x": "a"})
    assert tags(world).count("merge.m.good") == 1
    event = next(e for e in world.events if e.tag == "merge.m.good")
    assert event.opts == {"x": "a", "y": "b"}
    updates = [e.opts["came"] for e in world.events if e.tag == "sys.node.update" and e.source_id == "m"]
    assert updates == [["task.b.good"], ["task.b.good", "task.a.good"]]


def test_merge_any_fires_on_the_first_and_records_the_rest() -> None:
    world = begun(
        task("a", "trigger.good"), task("b", "trigger.good"), merge("m", "task.a.good", "task.b.good", kind="any"),
        task("c", "merge.m.good"),
    )  # fmt: skip
    done(world, 1)
    done(world, 2)
    assert tags(world).count("merge.m.good") == 1
    merged = [a for s in world.steps for a in s[2].touched if a.node == "m"][-1]
    assert merged.came == ("task.a.good", "task.b.good")
    assert not merged.is_open


def test_end_is_reached_once() -> None:
    world = begun(task("z", "trigger.good", "end"), task("a", "trigger.good"))
    assert ended(world) == ("good", "")
    assert len(world.of(EndRun)) == 1


def test_reports_of_another_epoch_are_not_taken() -> None:
    world = begun(task("a", "trigger.good"))
    before = world.run
    for report in (TaskAccepted(T0, 1, 2), TaskStarted(T0, 1, 0), TaskFinished(T0, 1, 2, status=0)):
        world.feed(report)
    assert world.run == before


def test_accepted_after_the_end_is_taken_in_silence() -> None:
    world = begun(task("a", "trigger.good"), task("b", "task.a.good"))
    done(world, 1)
    before = world.run
    world.feed(TaskAccepted(world.at, 1, 1))
    assert world.run == before


@pytest.mark.parametrize(
    ("kind", "opts", "reason"),
    [
        ("timer", {"period": "soon"}, "soon"),
        ("timer", {"period": "{{ opts.nothing }}"}, "nothing"),
        ("data", {"form": {"title": "{{ opts.nothing }}", "fields": []}}, "nothing"),
    ],
)
def test_n04_a_wait_that_cannot_be_understood_is_an_error(kind: str, opts: dict[str, object], reason: str) -> None:
    world = begun(task("w", "trigger.good", kind, opts=opts))
    assert "task.w.error" in tags(world)
    assert reason in ended(world)[1]


def test_n07_placeholders_of_waiting_nodes_are_filled() -> None:
    form = {"title": "Release {{ opts.who }}?", "fields": [{"id": "good", "type": "bool", "required": True}]}
    world = begun(
        task("d", "trigger.good", "data", opts={"form": form}),
        task("t", "trigger.good", "timer", opts={"period": "{{ opts.who }}"}),
    )
    asked = next(event for event in world.events if event.tag == "sys.data.required")
    assert asked.opts["form"]["title"] == "Release me?"
    assert "task.t.error" in tags(world)


def test_a_late_assignment_of_an_earlier_epoch_is_not_taken() -> None:
    world = World(flow(task("a", "trigger.good")))
    world.run = replace(world.run, host="other", epoch=2)
    world.feed(Assigned(world.at, "h", 1))
    assert world.run.phase == "pending"
    world.feed(Assigned(world.at, "other", 2))
    assert (world.run.phase, world.run.host, world.run.epoch) == ("active", "other", 2)
