"""What holds for any input: reading never fails but in words, snapshots are true, what is filled in stays as it is."""

import json
import shlex
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.flows.command import exec_command
from shared.flows.expand import WrongOption, expand_text, split_cmd
from shared.flows.graph import edges, levels, listeners
from shared.flows.model import Flow, definition_hash, from_json, to_json
from shared.flows.outputs import BadOutputs, parse_outputs
from shared.flows.parse import parse_document, parse_flow
from shared.flows.paths import inside
from shared.flows.problems import render
from shared.flows.schema import FLOW_KEYS, NODE_KEYS, TASKS, TRIGGERS

KEYS = sorted({*FLOW_KEYS, *NODE_KEYS, "flows", "common", *(key for opts in TASKS.values() for key in opts)})
WORDS = [
    *KEYS, *TASKS, *TRIGGERS, "merge", "trigger.good", "task.a.good", "task.b.bad", "merge.m.good", "sys.end.all",
    "{{ opts.x }}", "A=1", "30s", "a", "b", "m", "../x", "-", "",
]  # fmt: skip
WRITTEN_ALIKE = st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.sampled_from(WORDS), st.text(max_size=8))
SCALARS = st.one_of(WRITTEN_ALIKE, st.floats())
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)),
    max_leaves=30,
)

TAGS = st.sampled_from(
    ["trigger.good", *(f"{c}.n{n}.{s}" for c in ("task", "merge") for n in range(5) for s in ("good", "bad", "0"))]
)
TASK = st.fixed_dictionaries(
    {"type": st.sampled_from(["exec", "end", "timer", "data"]), "listen": TAGS},
    optional={
        "ignore-fail": st.booleans(),
        "use-status": st.booleans(),
        "good": st.lists(st.integers(0, 3), max_size=3),
        "timeout": st.integers(1, 100),
        "opts": st.dictionaries(st.sampled_from(["cmd", "args", "x", "period"]), WRITTEN_ALIKE, max_size=3),
    },
)
MERGE = st.fixed_dictionaries(
    {"class": st.just("merge"), "type": st.sampled_from(["all", "any", "one"]), "wait": st.lists(TAGS, max_size=4)}
)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Flows that are mostly in order: five nodes at most, tags among them at random."""
    tasks = draw(st.lists(st.one_of(TASK, MERGE), max_size=5))
    trigger = {"id": "start", "type": "data"}
    return {"id": "f", "triggers": [trigger], "tasks": [{"id": f"n{at}", **task} for at, task in enumerate(tasks)]}


def dumped(value: Any) -> str:
    return yaml.safe_dump(value)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.binary(), st.text(alphabet="[]{}:-,&*!|>'\"%@` \n\tab0#?")))
@example("[" * 30_000)
@example("a: &a [*a, *a]")
@example("\ud800")
@example("? ")
@example("!")
@example("%YAML 9.9\n---\n")
@example('{"a": "\\ud83d"}')
@example("<<: {a: b}\n")
def test_no_text_and_no_bytes_raise_anything(text: str | bytes) -> None:
    for document in (parse_document(text, "f"), parse_flow(text, default_id="x")):
        assert document.fatal == any(problem.level == "fatal" for problem in document.problems)
        assert all("\n" not in render(problem) for problem in document.problems)


@given(ANYTHING)
def test_no_document_raises_anything(value: Any) -> None:
    for flow in parse_document(dumped(value)).flows:
        assert from_json(to_json(flow)) == flow


@given(st.lists(ANYTHING, max_size=3), st.lists(ANYTHING, max_size=3))
def test_no_flow_of_strange_parts_raises_anything(triggers: list[Any], tasks: list[Any]) -> None:
    parse_document(dumped({"flows": [{"id": "f", "triggers": triggers, "tasks": tasks}]}))


@settings(max_examples=200)
@given(definitions())
def test_a_stored_flow_comes_back_the_same(definition: dict[str, Any]) -> None:
    for flow in parse_document(dumped(definition)).flows:
        back = from_json(json.loads(json.dumps(to_json(flow))))
        assert back == flow
        assert definition_hash(back) == definition_hash(flow)


@settings(max_examples=200)
@given(definitions())
def test_yaml_and_json_mean_the_same(definition: dict[str, Any]) -> None:
    by_yaml, by_json = parse_document(dumped(definition)), parse_document(json.dumps(definition, ensure_ascii=False))
    assert [definition_hash(flow) for flow in by_yaml.flows] == [definition_hash(flow) for flow in by_json.flows]
    assert sorted(p.message for p in by_yaml.problems) == sorted(p.message for p in by_json.problems)


@settings(max_examples=300)
@given(definitions())
def test_every_node_stands_in_one_level_after_what_it_waits_for(definition: dict[str, Any]) -> None:
    for flow in parse_document(dumped(definition)).flows:
        level_of = {node_id: at for at, level in enumerate(levels(flow)) for node_id in level}
        assert sorted(node_id for level in levels(flow) for node_id in level) == sorted(node.id for node in flow.nodes)
        for start, to, tag in edges(flow):
            assert to in listeners(flow)[tag]
            if start in _after(flow, "start"):
                assert level_of[start] < level_of[to] or start in _after(flow, to)


def _after(flow: Flow, node_id: str) -> set[str]:
    """The node and all that can follow it."""
    seen, queue = {node_id}, [node_id]
    while queue:
        at = queue.pop()
        new = {to for start, to, _ in edges(flow) if start == at} - seen
        seen |= new
        queue.extend(new)
    return seen


OUTSIDE = st.text(alphabet="./$A{}ws=opts. '\"\\{{ws}}$A{{ opts.a }}", max_size=20)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["./", ".", "=", "$A", "${A}", "{{ws}}", "/", "x", "{{ opts.a }}", "{{opts.b}}"])),
    OUTSIDE,
    OUTSIDE,
)
def test_n07_what_is_filled_in_is_neither_expanded_nor_able_to_change_the_rest(
    parts: list[str], first: str, second: str
) -> None:
    text = "".join(parts)
    marked = expand_text(text, "/ws", {"A": "one"}, {"a": "\ue000", "b": "\ue001"})
    real = expand_text(text, "/ws", {"A": "one"}, {"a": first, "b": second})
    assert real == "".join({"\ue000": first, "\ue001": second}.get(char, char) for char in marked)


@given(st.lists(OUTSIDE, max_size=3))
def test_n07_the_number_of_words_is_the_authors(values: list[str]) -> None:
    opts = {f"k{n}": value for n, value in enumerate(values)}
    args = [f"{{{{ opts.k{n} }}}}" for n in range(len(values))]
    assert exec_command({"cmd": "run", "args": args}, opts, "/ws", {"A": "one"}).argv == ("run", *values)


@given(st.lists(st.text(), max_size=5))
def test_exec_words_that_a_shell_would_quote_come_back(words: list[str]) -> None:
    assert split_cmd(" ".join(shlex.quote(word) for word in words)) == words


@settings(max_examples=300)
@given(st.text(alphabet="ab '\"\\$\n", max_size=20))
def test_exec_words_are_those_of_the_standard_library_where_it_follows_posix(text: str) -> None:
    try:
        words = split_cmd(text)
    except WrongOption:
        return
    if "\\" not in text:
        assert words == shlex.split(text)


@settings(max_examples=300)
@given(st.text(alphabet="./a-\0~", max_size=12))
def test_a_path_is_inside_or_refused(sub: str) -> None:
    try:
        path = inside("/ws/x", sub)
    except WrongOption:
        return
    assert path == "/ws/x" or path.startswith("/ws/x/")
    assert "\0" not in path
    assert ".." not in path.split("/")


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab=<E\n\r \0", max_size=40).map(str.encode)))
def test_n06_outputs_are_read_or_refused_in_words(content: bytes) -> None:
    try:
        found = parse_outputs(content)
    except BadOutputs:
        return
    assert all(key and "=" not in key and "\0" not in value for key, value in found.items())


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,10}", fullmatch=True), st.text(alphabet="ab=<\n E", max_size=20)
    )
)
def test_n06_what_a_task_writes_is_what_comes_out(values: dict[str, str]) -> None:
    content = "".join(f"{key}<<E-N-D\n{value}\nE-N-D\n" for key, value in values.items())
    assert parse_outputs(content.encode()) == values
