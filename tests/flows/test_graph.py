"""§7: levels, edges, and what is wrong with a graph."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import pytest

from shared.flows import draw
from shared.flows.graph import edges, emits, graph_problems, levels, listeners
from shared.flows.model import Flow, Node

Wants = str | tuple[str, ...]


def flow_of(tasks: Mapping[str, Wants], **changed: Node) -> Flow:
    """A flow with one trigger: `id: tag` is an exec task, `id: (tag, ...)` a merge; `changed` replaces nodes by id."""
    nodes = {
        name: Node(name, name, "task", "exec", listen=tags)
        if isinstance(tags, str)
        else Node(name, name, "merge", "all", wait=tags)
        for name, tags in tasks.items()
    }
    nodes.update({name.rstrip("_"): node for name, node in changed.items()})
    return Flow("f", triggers=(Node("start", "start", "trigger", "data"),), tasks=tuple(nodes.values()))


def found(flow: Flow) -> list[tuple[str | None, str, str | None]]:
    return [(problem.node, problem.message, problem.hint) for problem in graph_problems(flow)]


def of(flow: Flow, node: str) -> str:
    """The one message about a node."""
    (message,) = [text for name, text, _ in found(flow) if name == node]
    return message


FAN = flow_of(
    {
        "zeta": "trigger.good",
        "alpha": "trigger.good",
        "m": ("task.zeta.good", "task.alpha.good"),
        "late": "merge.m.good",
        "early": "task.alpha.good",
        "both": ("trigger.good", "task.late.good"),
    }
)


def test_levels_file_order_first_then_by_id() -> None:
    assert levels(FAN) == (("start",), ("zeta", "alpha"), ("early", "m"), ("late",), ("both",))
    assert found(FAN) == []


def test_edges_name_their_tag() -> None:
    assert edges(FAN) == (
        ("start", "zeta", "trigger.good"),
        ("start", "alpha", "trigger.good"),
        ("zeta", "m", "task.zeta.good"),
        ("alpha", "m", "task.alpha.good"),
        ("m", "late", "merge.m.good"),
        ("alpha", "early", "task.alpha.good"),
        ("start", "both", "trigger.good"),
        ("late", "both", "task.late.good"),
    )


def test_n02_all_listeners_of_a_tag_in_file_order() -> None:
    assert listeners(FAN)["trigger.good"] == ("zeta", "alpha", "both")
    assert listeners(FAN)["task.alpha.good"] == ("m", "early")


def test_levels_stay_finite_in_a_cycle() -> None:
    flow = flow_of({"again": ("trigger.good", "task.b.bad"), "a": "merge.again.good", "b": "task.a.good"})
    assert levels(flow) == (("start",), ("again",), ("a",), ("b",))


def test_the_longest_way_counts() -> None:
    chain = {"d": "trigger.good", "a": "trigger.good", "b": "task.a.good", "c": "task.b.good"}
    flow = flow_of({**chain, "m": ("task.d.good", "task.c.good")})
    assert levels(flow) == (("start",), ("d", "a"), ("b",), ("c",), ("m",))


def test_levels_of_a_long_chain() -> None:
    tasks = {"t0": "trigger.good"} | {f"t{n}": f"task.t{n - 1}.good" for n in range(1, 3000)}
    assert len(levels(flow_of(tasks))) == 3001
    assert found(flow_of(tasks)) == []


def test_nodes_that_nobody_can_reach_are_a_problem_and_stand_in_a_last_level() -> None:
    flow = flow_of({"a": "trigger.good", "y": "task.x.good", "x": "task.y.bad", "b": "task.a.good"})
    assert levels(flow) == (("start",), ("a",), ("b",), ("x", "y"))
    assert {name for name, text, _ in found(flow) if "can never be reached" in text} == {"x", "y"}


@pytest.mark.parametrize(
    ("tag", "message", "hint"),
    [
        ("task.buidl.good", "the tag `task.buidl.good` is of a node that does not exist", "task.build.good"),
        ("build", "the tag `build` is not of three parts, like `task.ID.good` or `merge.ID.good`", "task.build.good"),
        (
            "task.build",
            "the tag `task.build` is not of three parts, like `task.ID.good` or `merge.ID.good`",
            "task.build.good",
        ),
        ("tsk.build.bad", "the tag `tsk.build.bad` starts with neither `task` nor `merge`", "task.build.bad"),
        ("task.wait.good", "the tag `task.wait.good` never comes: `wait` is a merge", "merge.wait.good"),
        ("merge.build.good", "the tag `merge.build.good` never comes: `build` is a task", "task.build.good"),
        ("merge.wait.bad", "the tag `merge.wait.bad` is none that `wait` can emit", "merge.wait.good"),
        ("task.build.3", "the tag `task.build.3` never comes: `build` has no `use-status`", "task.build.good"),
        ("task.build.god", "the tag `task.build.god` is none that `build` can emit", "task.build.good"),
        ("task.status.good", "with `use-status` `status` emits its exit status, or `error`", "task.status.0"),
        ("task.calm.bad", "`calm` has `ignore-fail`, so it is always good", "task.calm.good"),
        ("task.stop.good", "`stop` is an `end`, which emits nothing", None),
        ("trigger.start.good", "every trigger emits `trigger.good`", "trigger.good"),
        ("task.start.good", "the tag `task.start.good` never comes: `start` is a trigger", "trigger.good"),
        ("Task.build.good", "starts with neither `task` nor `merge`", "task.build.good"),
        ("task.*.good", "is of a node that does not exist", None),
    ],
)
def test_a_tag_that_never_comes_is_a_problem_with_the_nearest_that_does(
    tag: str, message: str, hint: str | None
) -> None:
    flow = flow_of(
        {"build": "trigger.good", "test": "trigger.good", "wait": ("task.build.good", "task.test.good"), "x": tag},
        status=Node("status", "status", "task", "exec", listen="trigger.good", use_status=True),
        calm=Node("calm", "calm", "task", "exec", listen="trigger.good", ignore_fail=True),
        stop=Node("stop", "stop", "task", "end", listen="trigger.good"),
    )
    ((node, text, nearest),) = found(flow)
    assert node == "x"
    assert message in text
    assert nearest == hint


def test_e02_n03_what_each_node_can_emit() -> None:
    exec_ = Node("x", "x", "task", "exec")
    assert emits(exec_).tags == ("task.x.good", "task.x.bad", "task.x.error")
    assert "task.x.0" not in emits(exec_)
    status = emits(Node("x", "x", "task", "exec", use_status=True))
    assert [tag in status for tag in ("task.x.0", "task.x.137", "task.x.error", "task.x.01", "task.x.good")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert emits(Node("x", "x", "task", "exec", use_status=True, ignore_fail=True)).tags == ("task.x.good",)
    assert emits(Node("m", "m", "merge", "any")).tags == ("merge.m.good",)
    assert emits(Node("e", "e", "task", "end")).tags == ()
    assert emits(Node("t", "t", "trigger", "data")).tags == ("trigger.good",)


def test_a_merge_that_can_never_fill() -> None:
    build = {"build": "trigger.good"}
    exclusive = flow_of(build | {"m": ("task.build.good", "task.build.bad")})
    assert of(exclusive, "m") == "merge `m` can never fill: only one of `task.build.good` and `task.build.bad` can come"
    itself = flow_of(build | {"m": ("task.build.good", "task.after.good"), "after": "merge.m.good"})
    assert "can never fill: `task.after.good` never comes before it fires" in str(found(itself))
    unreached = flow_of(build | {"m": ("task.build.good", "task.x.good"), "x": "task.x.good"})
    assert "can never fill: `task.x.good` never comes before it fires" in of(unreached, "m")
    assert of(flow_of(build | {"m": ()}), "m") == "`m` waits for nothing: it can never fill"
    any_of = Node("m", "m", "merge", "any", wait=("task.build.good", "task.build.bad"))
    assert found(flow_of(build, m=any_of)) == []


def test_two_tags_of_one_task_can_both_come_when_it_is_done_again() -> None:
    flow = flow_of(
        {"work": "merge.again.good", "both": ("task.work.good", "task.work.bad")},
        again=Node("again", "again", "merge", "any", wait=("trigger.good", "task.work.bad")),
    )
    assert found(flow) == []


def ring(*more: Node, **tasks: Wants) -> Flow:
    again = Node("again", "again", "merge", "any", wait=("trigger.good", "task.b.good"))
    nodes = {node.id: node for node in more}
    return flow_of({"a": "merge.again.good", "b": "task.a.good", **tasks}, again=again, **nodes)


def test_n10_a_cycle_without_an_exit_is_a_problem() -> None:
    assert of(ring(), "a") == (
        "a cycle without an exit: a → b → again → a; only a failure or 10,000 activations end it"
    )
    alone = flow_of({"a": "trigger.good", "x": "task.x.good"})
    assert any("a cycle without an exit: x → x" in text for _, text, _ in found(alone))
    beside = ring(c="task.a.good")
    assert [name for name, text, _ in found(beside) if "cycle" in text] == ["a"]


def test_n10_ways_out_of_a_cycle() -> None:
    assert found(ring(c="task.a.bad")) == []
    assert found(ring(c="task.b.error")) == []
    assert found(ring(Node("stop", "stop", "task", "end", listen="task.b.good"))) == []
    assert found(ring(Node("b", "b", "task", "exec", listen="task.a.good", use_status=True, good=(0, 3)))) != []
    until_good = flow_of(
        {"work": "merge.again.good"},
        again=Node("again", "again", "merge", "any", wait=("trigger.good", "task.work.bad")),
    )
    assert found(until_good) == []


def test_n10_a_status_that_nobody_hears_is_a_way_out_when_it_is_good() -> None:
    again = Node("again", "again", "merge", "any", wait=("trigger.good", "task.w.3"))
    work = Node("w", "w", "task", "exec", listen="merge.again.good", use_status=True)
    assert found(flow_of({}, again=again, w=work)) == []
    only_three = Node("w", "w", "task", "exec", listen="merge.again.good", use_status=True, good=(3,))
    assert [name for name, text, _ in found(flow_of({}, again=again, w=only_three)) if "cycle" in text] == ["again"]


def test_duplicate_ids_are_a_problem() -> None:
    node = Node("a", "a", "task", "exec", listen="trigger.good")
    flow = Flow("f", triggers=(Node("t", "t", "trigger", "data"),), tasks=(node, node))
    assert of(flow, "a") == "the id `a` is used twice; triggers, tasks and merges share their ids"


def test_n05_an_unhandled_bad_is_no_problem() -> None:
    assert found(flow_of({"a": "trigger.good"})) == []


def test_a_flow_that_does_nothing_is_a_problem() -> None:
    assert found(flow_of({})) == [(None, "has no tasks: its runs would end at once", None)]
    assert (None, "nothing listens to `trigger.good`: its runs would end at once", None) in found(flow_of({"a": "x"}))
    assert found(Flow("f", flow_file="x", triggers=(Node("t", "t", "trigger", "data"),))) == []
    (problem,) = graph_problems(Flow("f", tasks=(Node("a", "a", "task", "exec", listen="trigger.good"),)))
    assert problem.level == "note"


NASTY = flow_of({"a": "trigger.good"}, b=Node("b", '"<b>', "task", 'x"]<script>', listen="task.a.bad"))


def test_floe_graph_as_text() -> None:
    assert draw.as_text(FAN).splitlines()[:5] == [
        "f@1",
        "level 0",
        "  start  (trigger data)",
        "level 1",
        "  zeta  (task exec)  <- trigger.good",
    ]


def test_floe_graph_as_json() -> None:
    drawn = json.loads(json.dumps(draw.as_json(FAN)))
    assert drawn["levels"][1] == ["zeta", "alpha"]
    assert drawn["edges"][0] == {"from": "start", "to": "zeta", "tag": "trigger.good"}


def test_floe_graph_as_mermaid_is_escaped() -> None:
    drawn = draw.as_mermaid(NASTY)
    assert "<script>" not in drawn
    assert '  n1 -->|"bad"| n2' in drawn.splitlines()


def test_floe_graph_as_svg_is_well_formed_and_escaped() -> None:
    for flow in (FAN, NASTY, flow_of({})):
        root = ET.fromstring(draw.as_svg(flow))
        names = [name for group in root.iter("{http://www.w3.org/2000/svg}g") if (name := group.get("data-node"))]
        assert sorted(names) == sorted(node.id for node in flow.nodes)
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_looking_for_what_wrong_tags_meant_is_bounded_in_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def count(word: str, known: Mapping[str, Node]) -> None:
        looked.append(len(known))

    monkeypatch.setattr("shared.flows.tags.nearest", count)
    for found, tasks in ((0, 3000), (0, 400), (12, 400), (100, 400)):
        looked.clear()
        nodes = tuple(Node(f"n{i}", "n", "task", "exec", listen=f"task.m{i}.good") for i in range(tasks))
        assert len(graph_problems(Flow("f", tasks=nodes), found)) > 50
        assert sum(looked) <= 2 * 5_000
        assert any(looked) == (found < 12)
