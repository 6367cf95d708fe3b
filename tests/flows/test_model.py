"""F-05 and the stored form: versions, hashes, snapshots."""

import json
from dataclasses import replace

import pytest

from shared.flows.model import Flow, Node, definition_hash, from_json, to_json, version_to_store

FLOW = Flow(
    "build",
    2,
    "Build",
    triggers=(Node("start", "start", "trigger", "data", opts={"form": {"title": "x"}}, line=3),),
    tasks=(Node("t", "t", "task", "exec", "trigger.good", opts={"cmd": "ls"}, secrets=("A",), line=4),),
    line=1,
)


def test_f05_the_text_form() -> None:
    assert FLOW.ref == "build@2"


def test_a_node_is_found_by_id() -> None:
    assert FLOW.node("t") is FLOW.tasks[0]
    assert FLOW.node("start") is FLOW.triggers[0]
    assert FLOW.node("x") is None


def test_t07_a_snapshot_gives_the_same_flow_back() -> None:
    assert from_json(json.loads(json.dumps(to_json(FLOW)))) == FLOW
    assert from_json({"id": "f", "unknown": 1}) == Flow("f")


def test_f05_lines_and_ver_do_not_change_what_is_identical() -> None:
    moved = replace(FLOW, line=9, ver=7, tasks=tuple(replace(node, line=12) for node in FLOW.tasks))
    assert definition_hash(moved) == definition_hash(FLOW)
    for other in (
        replace(FLOW, name="Other"),
        replace(FLOW, env=("A=1",)),
        replace(FLOW, tasks=(replace(FLOW.tasks[0], opts={"cmd": "pwd"}),)),
    ):
        assert definition_hash(other) != definition_hash(FLOW)


@pytest.mark.parametrize(
    ("ver", "stored", "expected"),
    [
        (1, {}, (1, True)),
        (3, {}, (3, True)),
        (1, {1: "mine"}, (1, False)),
        (1, {1: "other"}, (2, True)),
        (1, {1: "other", 5: "other"}, (6, True)),
        (1, {1: "other", 2: "mine"}, (2, False)),
        (3, {1: "mine"}, (3, True)),
        (2, {1: "other", 3: "other"}, (2, True)),
    ],
)
def test_f05_which_version_is_stored(ver: int, stored: dict[int, str], expected: tuple[int, bool]) -> None:
    flow = replace(FLOW, ver=ver)
    hashes = {at: definition_hash(flow) if what == "mine" else what for at, what in stored.items()}
    assert version_to_store(flow, hashes) == expected
