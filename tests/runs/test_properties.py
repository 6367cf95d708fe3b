"""What holds for any flow and any order of inputs (ARCHITECTURE §4); each property catches the fault planted for it."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from shared.runs import draft as draft_module
from shared.runs import machine, nodes
from shared.runs.draft import Stepped
from shared.runs.effects import Emit, EndRun, StartTask, StopTask
from shared.runs.events import Cancel, Input, TaskAccepted, TaskFinished
from shared.runs.machine import step
from shared.runs.state import FINAL, MERGE_TYPES, Activation, merge_index
from tests.runs.flows import World, finish, worlds

RELAXED = settings(deadline=None, suppress_health_check=list(HealthCheck))


def same_inputs_same_outputs(world: World) -> None:
    for before, event, stepped in world.steps:
        assert step_of(world)(world.program, before, event) == stepped


def a_repeated_input_changes_nothing(world: World) -> None:
    for _, event, stepped in world.steps:
        again = step_of(world)(world.program, stepped.run, event)
        assert again.run == stepped.run
        assert not [e for e in again.effects if isinstance(e, Emit | StartTask | EndRun)]


def seq_has_no_gaps(world: World) -> None:
    assert [event.seq for event in world.events] == list(range(1, len(world.events) + 1))


def a_run_ends_once_and_nothing_follows(world: World) -> None:
    finish(world)
    ends = [i for i, e in enumerate(world.effects) if isinstance(e, EndRun)]
    assert len(ends) <= 1
    if ends:
        assert world.events[-1].tag == "sys.end.all"
        assert not [e for e in world.effects[ends[0] :] if isinstance(e, StartTask | Emit)]


def the_end_stops_everything_open(world: World) -> None:
    finish_by_cancel(world)
    stopped = {e.n for e in world.effects if isinstance(e, StopTask)}
    for activation in world.run.open.values():
        assert activation.phase in FINAL
        assert activation.process == "out"
        assert activation.n in stopped


def a_task_is_started_once(world: World) -> None:
    finish(world)
    starts = Counter(e.n for e in world.effects if isinstance(e, StartTask))
    assert not [n for n, times in starts.items() if times > 1]


def a_merge_fires_once_and_only_when_its_waits_are_met(world: World) -> None:
    finish(world)
    fired: Counter[int] = Counter()
    for before, _, stepped in world.steps:
        for now in stepped.touched:
            if now.type not in MERGE_TYPES or now.result != "good":
                continue
            was = before.open.get(now.n)
            if was is not None and was.result == "good":
                continue
            fired[now.n] += 1
            node = world.flow.node(now.node)
            assert node is not None
            wanted = set(node.wait)
            assert now.came
            assert set(now.came) <= wanted
            assert node.type == "any" or set(now.came) == wanted
    assert not [n for n, times in fired.items() if times > 1]
    seen = Counter(e.tag for e in world.events if e.tag.startswith("merge."))
    assert sum(seen.values()) == sum(fired.values())


def nothing_open_means_ended(world: World) -> None:
    run = world.run
    if run.phase == "active":
        assert [a for a in run.open.values() if a.type not in MERGE_TYPES]


def the_books_are_right(world: World) -> None:
    run = world.run
    assert run.out == sum(a.process == "out" for a in run.open.values())
    waiting = [a for a in run.open.values() if a.phase == "waiting" and a.type not in MERGE_TYPES]
    assert run.waiting == len(waiting)
    assert run.merges == merge_index(run.open)
    assert all(a.is_open for a in run.open.values())


def the_recorded_inputs_give_the_state(world: World) -> None:
    recorded = [(type(event), msgspec.json.encode(event)) for event in world.inputs]
    run = world.adopted
    for kind, body in recorded:
        run = step_of(world)(world.program, run, msgspec.json.decode(body, type=kind)).run
    assert run == world.run


def claims_come_free_once_when_all_is_gone(world: World) -> None:
    finish_by_cancel(world)
    for activation in list(world.run.open.values()):
        assert not [e for e in world.effects if type(e).__name__ == "FreeClaims"]
        world.feed(TaskFinished(world.at, activation.n, world.run.epoch, status=143))
    assert sum(type(e).__name__ == "FreeClaims" for e in world.effects) == 1


def finish_by_cancel(world: World) -> None:
    world.feed(Cancel(world.at))


def step_of(world: World) -> Callable[..., Stepped]:
    found: Callable[..., Stepped] = world.step
    return found


PROPERTIES = [
    same_inputs_same_outputs,
    a_repeated_input_changes_nothing,
    seq_has_no_gaps,
    a_run_ends_once_and_nothing_follows,
    the_end_stops_everything_open,
    a_task_is_started_once,
    a_merge_fires_once_and_only_when_its_waits_are_met,
    nothing_open_means_ended,
    the_books_are_right,
    the_recorded_inputs_give_the_state,
    claims_come_free_once_when_all_is_gone,
]


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda p: p.__name__)
def test_it_holds(holds: Callable[[World], None]) -> None:
    @settings(RELAXED, max_examples=150)
    @given(worlds())
    def check(world: World) -> None:
        holds(world)

    check()


@settings(RELAXED, max_examples=200)
@given(worlds(), st.data())
def test_reports_of_activations_that_share_no_merge_commute(world: World, data: st.DataObject) -> None:
    out = [a for a in world.run.open.values() if a.process == "out" and a.phase not in FINAL]
    if world.run.phase != "active" or len(out) < 2:
        return
    ends = [TaskFinished(world.at, a.n, world.run.epoch, status=0) for a in data.draw(st.permutations(out))[:2]]
    check_commutes(world, ends, step)


def check_commutes(world: World, ends: list[TaskFinished], machine_step: Callable[..., Stepped]) -> None:
    results = []
    for order in (ends, ends[::-1]):
        run, effects = world.run, []
        for event in order:
            stepped = machine_step(world.program, run, event)
            run = stepped.run
            effects += stepped.effects
        if any(isinstance(e, EndRun) for e in effects) or any(
            isinstance(e, Emit) and e.event.source_class == "merge" for e in effects
        ):
            return
        shape = Counter((a.node, a.phase, a.type) for a in run.open.values())
        tags = Counter(e.event.tag for e in effects if isinstance(e, Emit))
        results.append((shape, tags, run.phase, run.out, run.waiting))
    assert results[0] == results[1]


# --- planted faults --------------------------------------------------------------------------------------------------


def _fickle() -> Any:
    calls = itertools.count()

    def fickle(program: Any, run: Any, event: Input) -> Stepped:
        stepped = step(program, run, event)
        if next(calls) % 5 == 4 and stepped.run is not run:
            return dataclasses.replace(stepped, run=dataclasses.replace(stepped.run, reason=f"call {next(calls)}"))
        return stepped

    return fickle


def _always_changes(program: Any, run: Any, event: Input) -> Stepped:
    stepped = step(program, run, event)
    return dataclasses.replace(stepped, run=dataclasses.replace(stepped.run, rev=run.rev + 1))


def _no_stops(program: Any, run: Any, event: Input) -> Stepped:
    stepped = step(program, run, event)
    return dataclasses.replace(stepped, effects=tuple(e for e in stepped.effects if not isinstance(e, StopTask)))


def _starts_again(program: Any, run: Any, event: Input) -> Stepped:
    stepped = step(program, run, event)
    if isinstance(event, TaskAccepted) and stepped.touched:
        return dataclasses.replace(stepped, effects=(*stepped.effects, StartTask(event.n)))
    return stepped


def _skips_numbers(self: Any, tag: str, *args: Any, **kwargs: Any) -> None:
    if tag == "sys.end.all":
        self.seq += 1
    _emit(self, tag, *args, **kwargs)


_emit = draft_module.Draft.emit


def _merges_at_once(program: Any, draft: Any, node: Any, event: Any) -> Any:
    return _arrive_at_merge(
        program, draft, dataclasses.replace(node, type="any") if node.type == "all" else node, event
    )


_arrive_at_merge = nodes._arrive_at_merge


def _never_settles(program: Any, draft: Any) -> None:
    machine._route(program, draft)


def _cancels_twice(program: Any, draft: Any, event: Any) -> None:
    machine.end_run(program, draft, "cancelled", "again")


def _miscounts(self: Any, activation: Activation, by: int) -> None:
    if not (activation.phase == "waiting" and by < 0):
        _count(self, activation, by)


_count = draft_module.Draft._count


def _frees_early(self: Any) -> None:
    if self.run.phase == "archive" and self.before.phase != "archive":
        from shared.runs.effects import FreeClaims

        self.effects.append(FreeClaims())


FAULTS: list[tuple[Callable[[World], None], Any, tuple[Any, str, Any] | None]] = [
    (same_inputs_same_outputs, _fickle, None),
    (the_recorded_inputs_give_the_state, _fickle, None),
    (a_repeated_input_changes_nothing, _always_changes, None),
    (the_end_stops_everything_open, _no_stops, None),
    (a_task_is_started_once, _starts_again, None),
    (seq_has_no_gaps, step, (draft_module.Draft, "emit", _skips_numbers)),
    (a_merge_fires_once_and_only_when_its_waits_are_met, step, (nodes, "_arrive_at_merge", _merges_at_once)),
    (nothing_open_means_ended, step, (machine, "_settle", _never_settles)),
    (a_run_ends_once_and_nothing_follows, step, (machine, "_cancelled", _cancels_twice)),
    (the_books_are_right, step, (draft_module.Draft, "_count", _miscounts)),
    (claims_come_free_once_when_all_is_gone, step, (draft_module.Draft, "free_claims_if_idle", _frees_early)),
]


@pytest.mark.parametrize(("holds", "faulty", "patch"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_planted_fault_is_caught(
    holds: Callable[[World], None], faulty: Any, patch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_step = faulty() if faulty is _fickle else faulty
    if patch is not None:
        monkeypatch.setattr(*patch)

    @settings(RELAXED, max_examples=400, database=None, report_multiple_bugs=False)
    @given(worlds(machine=machine_step))
    def check(world: World) -> None:
        holds(world)

    with pytest.raises((AssertionError, Flaky)):  # a machine that is fickle is also fickle when hypothesis tries again
        check()


def test_the_commuting_property_catches_an_order_dependent_machine() -> None:
    def faulty(program: Any, run: Any, event: Input) -> Stepped:
        stepped = step(program, run, event)
        if isinstance(event, TaskFinished) and event.n % 2:
            return dataclasses.replace(stepped, run=dataclasses.replace(stepped.run, waiting=len(run.open)))
        return stepped

    @settings(RELAXED, max_examples=400, database=None, report_multiple_bugs=False)
    @given(worlds())
    def check(world: World) -> None:
        out = [a for a in world.run.open.values() if a.process == "out" and a.phase not in FINAL]
        if world.run.phase == "active" and len(out) >= 2:
            ends = [TaskFinished(world.at, a.n, world.run.epoch, status=0) for a in out[:2]]
            check_commutes(world, ends, faulty)

    with pytest.raises(AssertionError):
        check()
