"""F-10 and RELIABILITY §2 YAML: what is read, how scalars are typed, and what is refused before it can hurt."""

import json
import time

import pytest
import yaml

from shared.flows.compose import FlowSyntaxError
from shared.flows.parse import parse_document, parse_flow, read_tree
from shared.flows.tree import Entries, plain
from tests.flows.reading import accepted, lines, read, with_task


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("1:2:3", "1:2:3"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("2024-01-02", "2024-01-02"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'3'", "3"),
        ('"no"', "no"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"),
        ("!!str 3", "3"),
        ("!!int 3", 3),
        ("!!float 3", 3),
    ],
)
def test_f10_scalars_are_yaml_1_2_core(text: str, value: object) -> None:
    tree = read_tree(f"n: {text}")
    found = plain(tree)["n"]
    assert found == value
    assert type(found) is type(value)


def test_f10_options_that_are_text_keep_their_spelling() -> None:
    opts = accepted(with_task("type: git-checkout, opts: {url: https://h/r, branch: 1.10}")).tasks[0].opts
    assert opts["branch"] == "1.10"


def test_f10_duplicate_keys_are_problems() -> None:
    text = "id: f\nid: g\ntriggers: [{id: s, type: data}]\ntasks:\n- id: t\n  type: exec\n  listen: trigger.good\n"
    text += "  opts: {cmd: ls}\n  opts:\n    cmd: pwd\n    cmd: id\n"
    assert lines(text) == [
        "f.yml:2: problem: the key `id` stands twice in one mapping; the last one counts",
        "f.yml:9: problem: [t] the key `opts` stands twice in one mapping; the last one counts",
        "f.yml:11: problem: [t] the key `cmd` stands twice in one mapping; the last one counts",
    ]
    assert accepted(text).tasks[0].opts == {"cmd": "id"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3", "f.yml:2: fatal: this is not YAML: did not find expected ',' or ']'"),
        ("a: b: c", "f.yml:1: fatal: this is not YAML: a `:` stands where no key can be"),
        ("a:\n\t- b", "f.yml:2: fatal: this is not YAML: a tab stands where only spaces may indent"),
        ("a: 'x", "f.yml:1: fatal: this is not YAML: found unexpected end of stream"),
        ("", "f.yml: fatal: the document is empty"),
        ("# nothing", "f.yml: fatal: the document is empty"),
        ("--- a\n--- b", "f.yml:2: fatal: a second document starts here; a file holds one"),
        ("a: *b", "f.yml:1: fatal: the alias `*b` has no anchor before it"),
        ("a: &a [*a]", "f.yml:1: fatal: the alias `*a` has no anchor before it"),
        ("a: !!python/object/apply:os.system [ls]", "f.yml:1: fatal: the tag `tag:yaml.org,2002:python/object"),
        ("a: !!int x", "f.yml:1: fatal: `x` is no int"),
        ("? [a]\n: b", "f.yml:1: fatal: a key of a mapping must be text"),
        ('a: "\\0"', "f.yml:1: fatal: the document holds a character that is no text"),
        ("a: \ud800", "f.yml: fatal: the document is not UTF-8 text"),
        (
            "just words",
            "f.yml:1: fatal: a definition is a mapping with keys like `id`, `ver`, `name`, and this is text",
        ),
    ],
)
def test_f10_what_cannot_be_read_says_why_and_where(text: str, message: str) -> None:
    (found,) = lines(text)
    assert found.startswith(message)


def test_f10_bytes_that_are_no_text() -> None:
    assert parse_document(b"\xff\xfe").problems[0].message == "the document is not UTF-8 text"
    assert parse_document("\ufeffid: f\n".encode()).problems[0].level == "note"


def _alias_bomb() -> str:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *rows])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_alias_bomb(), "more than 50,000 values, counting what aliases repeat"),
        ("[" * 30_000, "nested more than 50 deep"),
        ("{a: " * 30_000, "nested more than 50 deep"),
        ("- " * 30_000, "nested more than 50 deep"),
        ("a: &a x\nb: [" + "*a, " * 101 + "]", "more than 100 aliases"),
        ("a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a" + "]" * 30, "nested more than 50 deep"),
        ("- a\n" * 50_001, "more than 50,000 values"),
        ("id: x\nname: " + "a" * 2_000_000, "the document has 1.9 MiB; at most 1 MiB is read"),
    ],
    ids=["alias bomb", "30 KB of [", "{a: ", "- ", "101 aliases", "deep by alias", "50,001 values", "2 MB"],
)
def test_f10_bounds_hold_before_anything_is_built(text: str, message: str) -> None:
    began = time.thread_time()
    (problem,) = read(text).problems
    assert time.thread_time() - began < 1.0
    assert problem.level == "fatal"
    assert message in problem.message


def test_f10_as_deep_and_as_aliased_as_allowed_is_read() -> None:
    read_tree("[" * 50 + "]" * 50)
    read_tree("a: &a x\nb: [" + "*a, " * 100 + "]")
    with pytest.raises(FlowSyntaxError):
        read_tree("[" * 51 + "]" * 51)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_read_with_its_lines(ascii_only: bool) -> None:
    flow = {
        "id": "f",
        "name": 'smile 😀 \\ "quoted"',
        "triggers": [{"id": "s", "type": "data"}],
        "tasks": [{"id": "t", "type": "exec", "listen": "trigger.good", "opts": {"cmd": "a/b", "n": [1, 2.5, None]}}],
    }
    document = parse_document(json.dumps(flow, ensure_ascii=ascii_only, indent="\t").replace("/", "\\/"))
    assert document.flows[0].name == flow["name"]
    assert document.flows[0].tasks[0].opts == {"cmd": "a/b", "n": [1, 2.5, None]}
    assert document.flows[0].tasks[0].line > 1


def test_json_text_may_hold_what_yaml_takes_for_line_breaks() -> None:
    name = "a\u0085b\u2028c\u2029d\x7fe\ufefff"
    assert parse_flow(json.dumps({"id": "f", "name": name}, ensure_ascii=False)).flows[0].name == name


@pytest.mark.parametrize(
    "text",
    ["[" * 30_000, "- " * 30_000, 'a: "\\UFFFFFFFF"', 'a: "\\uD800"', "a: \x01", "a: \ud800", "a: [", _alias_bomb()],
)
def test_f10_bounds_hold_with_the_library_s_slow_parser_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.flows.parse._LOADER", yaml.SafeLoader)
    assert read(text).fatal
    assert read("id: f").flows[0].id == "f"


def test_lines_are_kept_per_key() -> None:
    tree = read_tree("a: 1\nb:\n  c: 2\n")
    assert isinstance(tree, Entries)
    assert tree.lines == {"a": 1, "b": 2}


def test_everything_is_reported_in_one_go() -> None:
    text = (
        "id: f\ntriger: x\ntriggers: [{id: s, type: data}]\ntasks:\n"
        "- {id: a, type: exek, listen: trigger.good}\n"
        "- {id: b, type: exec, listen: task.aa.good, opts: {cmd: ls}}\n"
        "- {id: ../x, type: exec, listen: task.b.good, opts: {shell: 'echo {{ opts.x }}'}}\n"
    )
    assert [(p.line, p.level, p.node, p.hint) for p in read(text).problems] == [
        (2, "problem", None, "triggers"),
        (5, "fatal", "a", "exec"),
        (6, "problem", "b", "task.a.good"),
        (7, "fatal", "task 3", "x"),
        (7, "fatal", "task 3", '"$FLOE_OPT_X"'),
    ]


def test_findings_have_an_end() -> None:
    text = "id: f\ntasks:\n" + "".join(f"- {{id: t{n}, type: exec, listen: task.x{n}.good}}\n" for n in range(1000))
    problems = read(text).problems
    assert len(problems) == 201
    assert problems[-1].message.endswith("more findings, not shown")


def test_f07_a_flow_file_holds_one_flow_and_may_have_no_name() -> None:
    task = "tasks: [{id: t, type: end, listen: trigger.good}]"
    assert parse_flow(task, default_id="build").flows[0].id == "build"
    assert parse_flow("flows: []").problems[0].message == (
        "one flow is wanted here, at top level, and not a file of `flows`"
    )
    assert [p.message for p in parse_flow(task, "f.yml").problems if p.level == "fatal"] == [
        "flow 1 - has neither an id nor a name"
    ]
