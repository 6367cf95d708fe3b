"""What a node sees has a bound in all (RELIABILITY §4, exhaustion; FLOWS N-01, N-04)."""

from typing import Any

import pytest

from shared.flows.expand import WrongOption
from shared.flows.weight import HEAVIEST_OPTS, check_weight
from shared.runs.effects import Emit, StartTask
from shared.runs.events import Assigned
from shared.runs.machine import Cause, adopt, step
from shared.runs.program import GraphProgram
from shared.runs.refs import RunRef
from tests.runs.flows import FORM, T0, flow, task

LONG = {"x": "y" * 4096}


@pytest.mark.parametrize(
    ("kind", "opts"),
    [
        ("exec", {"cmd": "true", "many": ["{{ opts.x }}"] * 2000}),
        ("exec", {"cmd": "true", "many": {"in": ["a {{ opts.X }} {{opts.x}}"] * 1000}}),
        ("exec", {"cmd": "true", "literal": "z" * HEAVIEST_OPTS}),
        ("data", {"form": FORM, "many": ["{{ opts.x }}"] * 2000}),
    ],
)
def test_a_node_whose_options_are_too_heavy_is_an_error_and_is_never_offered(kind: str, opts: dict[str, Any]) -> None:
    program = GraphProgram(flow(task("a", "trigger.good", kind, opts=opts), task("z", "task.a.error", "end")))
    run = adopt(RunRef("h1-1"), Cause("t", "data", "go"), LONG, T0).run
    stepped = step(program, run, Assigned(T0, "h", 1))
    emitted = {effect.event.tag for effect in stepped.effects if isinstance(effect, Emit)}
    assert "task.a.error" in emitted
    assert not any(isinstance(effect, StartTask) for effect in stepped.effects)
    assert stepped.run.phase == "archive"
    reasons = [activation.reason for activation in stepped.touched if activation.node == "a"]
    assert reasons[-1].endswith("KiB, and 4096 KiB are the most")


def test_the_bound_is_on_all_together() -> None:
    node = task("a", "trigger.good", opts={"cmd": "true", "many": ["{{ opts.x }}"] * 10})
    check_weight(LONG, {"n": 1.5, "ok": True, "none": None, "text": "é" * 100}, node)
    with pytest.raises(WrongOption):
        check_weight(LONG, {"text": "é" * 100}, node, 45_000)
    with pytest.raises(WrongOption):
        check_weight({"a": "x" * 3_000_000}, {"b": "x" * 3_000_000}, task("a", "trigger.good"))
