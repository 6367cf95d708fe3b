"""N-01, N-06, N-08: how opts and env are merged, what reaches a process, what comes back, and how long things take."""

import json
import re

import pytest

from shared.flows.expand import UnknownOption
from shared.flows.model import Node
from shared.flows.opts import (
    TOTAL_LIMIT,
    VALUE_LIMIT,
    BadPeriod,
    effective_opts,
    floe_env,
    git_options,
    merge_env,
    names_of,
    parse_period,
    url_option,
)
from shared.flows.outputs import BadOutputs, parse_outputs


def node(**opts: object) -> Node:
    return Node("n", "n", "task", "exec", opts={key.replace("_", "-"): value for key, value in opts.items()})


def test_n01_env_lists_are_concatenated() -> None:
    merged = merge_env(["l0", "l1", "c"], None, ["r0", "r1", "c"])
    assert len(merged) == 6
    assert merged[4] == "r1"


@pytest.mark.parametrize(
    ("flow", "trigger", "task", "expected"),
    [
        (["a"], ["b"], ["c"], ("a", "b", "c")),
        (["a"], None, None, ("a",)),
        (None, None, ["a"], ("a",)),
        (["a"], "text", {"no": "list"}, ("a",)),
        ("text", None, ["b"], ("b",)),
        (None, None, None, ()),
        ("a", 5, {}, ()),
        ([], (), ["A=1", 2], ("A=1", "2")),
    ],
)
def test_n01_only_lists_count(flow: object, trigger: object, task: object, expected: tuple[str, ...]) -> None:
    assert merge_env(flow, trigger, task) == expected


def test_n01_the_definition_wins_over_the_event_over_the_run() -> None:
    seen = effective_opts({"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 2, "d": 2}, node(c=3, e=3))
    assert seen == {"a": 1, "b": 2, "c": 3, "d": 2, "e": 3}
    assert effective_opts(None, None, node()) == {}


def test_n01_values_are_replaced_whole_and_names_differ_by_more_than_case() -> None:
    assert effective_opts({"form": {"a": 1}, "Branch": "x"}, {"form": {"b": 2}}, node(branch="y")) == {
        "form": {"b": 2},
        "branch": "y",
    }


def test_n01_n07_placeholders_in_the_definition_take_what_lies_below() -> None:
    assert effective_opts({"x": "run"}, {}, node(x="<{{ opts.x }}>", y="{{ opts.z }}", z="own", w="{{ opts.no }}")) == {
        "x": "<run>",
        "y": "own",
        "z": "own",
        "w": "{{ opts.no }}",
    }


def test_n01_what_a_caller_sends_is_data_and_reaches_a_task_as_variables() -> None:
    seen = effective_opts(
        {"cmd": "rm -rf /", "env": ["A=1"], "my-key.x": "v"}, {"n": 5, "ok": True, "none": None}, node()
    )
    env, omitted = floe_env(seen)
    assert omitted == []
    assert env == {
        "FLOE_OPT_CMD": "rm -rf /",
        "FLOE_OPT_ENV": '["A=1"]',
        "FLOE_OPT_MY_KEY_X": "v",
        "FLOE_OPT_N": "5",
        "FLOE_OPT_OK": "true",
        "FLOE_OPT_NONE": "null",
    }


def test_n01_what_does_not_fit_the_environment_is_in_the_file_only_and_said() -> None:
    env, omitted = floe_env(
        {
            "nul": "a\0b",
            "fits": "x" * VALUE_LIMIT,
            "long": "x" * (VALUE_LIMIT + 1),
            "wide": "é" * (VALUE_LIMIT // 2 + 1),
            "half": "\ud800",
            "a-b": 1,
            "a.b": 2,
        }
    )
    assert sorted(env) == ["FLOE_OPT_A_B", "FLOE_OPT_FITS"]
    assert names_of(omitted) == (
        "nul (it holds a NUL), long (it is over 32 KiB), wide (it is over 32 KiB), half (it is not valid text),"
        " a.b (another option is FLOE_OPT_A_B too)"
    )


def test_n01_all_of_it_together_is_bounded() -> None:
    env, omitted = floe_env({f"k{n}": "x" * VALUE_LIMIT for n in range(20)} | {"small": "y"})
    assert sum(len(name) + len(value) for name, value in env.items()) <= TOTAL_LIMIT
    assert len(omitted) == 5
    assert "FLOE_OPT_SMALL" in env
    assert omitted[0] == ("k15", "the options together are over 512 KiB")


def test_n01_git_options_come_from_the_event_where_the_definition_leaves_them_out() -> None:
    event = {"url": "https://h/r", "branch": "topic", "hash": "ab" * 20, "from-branch": "x", "ref": "refs/heads/topic"}
    found = git_options({}, event)
    assert {key: (given.value, given.outside) for key, given in found.items()} == {
        "url": ("https://h/r", True),
        "branch": ("topic", True),
        "hash": ("ab" * 20, True),
        "from-branch": ("x", True),
    }
    own = git_options({"url": "file:///r", "ref": "main"}, event)
    assert (own["url"].value, own["url"].outside) == ("file:///r", False)
    assert (own["branch"].value, own["branch"].outside) == ("main", False)


def test_n01_an_event_does_not_move_a_revision_that_the_definition_pins() -> None:
    assert "hash" not in git_options({"branch": "main"}, {"hash": "ab" * 20})
    assert "branch" not in git_options({"hash": "ab" * 20}, {"branch": "evil"})


def test_n01_aliases_are_read_from_definitions_only() -> None:
    assert git_options({}, {"ref": "refs/heads/x", "from-ref": "y"}) == {}
    assert git_options({"from-ref": "y"}, {})["from-branch"].value == "y"
    assert git_options({}, {"url": ["a"], "branch": 5, "hash": ""}) == {}


def test_n07_a_url_with_a_placeholder_counts_as_from_outside() -> None:
    found = git_options({"url": "https://h/{{ opts.repo }}.git"}, {"repo": "a"})
    assert (found["url"].value, found["url"].outside) == ("https://h/a.git", True)
    assert url_option({"url": "http://h/f"}, {}) == url_option({"url": "http://h/f"}, {"url": "x"})
    given = url_option({"url": "{{ opts.u }}"}, {"u": "http://h"})
    assert given is not None
    assert given.outside
    with pytest.raises(UnknownOption):
        git_options({"url": "{{ opts.no }}"}, {})
    assert url_option({}, {"url": "http://from.outside"}) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", {}),
        (b"a=1\nb = two=2 \n\nc=", {"a": "1", "b": " two=2 ", "c": ""}),
        (b"a=1\na=2", {"a": "2"}),
        (b"a=1\r\nb=2\r\n", {"a": "1", "b": "2"}),
        (b"text<<EOF\nline 1\n\n x=y\nEOF\nafter=1\n", {"text": "line 1\n\n x=y", "after": "1"}),
        (b"e<<X\nX\n", {"e": ""}),
        (b"a=x<<y\n", {"a": "x<<y"}),
        ("a=ü".encode(), {"a": "ü"}),
    ],
)
def test_n06_outputs(content: bytes, expected: dict[str, str]) -> None:
    assert parse_outputs(content) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a=1\njust words\n", "FLOE_OUTPUT line 2: neither `key=value` nor `key<<EOF`"),
        (b"=x", "FLOE_OUTPUT line 1: neither"),
        (b"a<<\nx\n", "FLOE_OUTPUT line 1: `<<` wants a word that ends the block"),
        (b"b=1\na<<EOF\nx\n EOF\n", "FLOE_OUTPUT line 2: the block has no line `EOF` at its end"),
        (b"a=\xff", "FLOE_OUTPUT is not UTF-8 text"),
        (b"a=\0", "FLOE_OUTPUT holds a NUL byte"),
        (b"a=" + b"x" * 64 * 1024, "FLOE_OUTPUT holds 65538 bytes; 65536 are the most"),
    ],
)
def test_n06_outputs_that_cannot_be_read(content: bytes, message: str) -> None:
    with pytest.raises(BadOutputs, match=re.escape(message)):
        parse_outputs(content)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        (10, 10),
        (1.5, 1.5),
        ("10", 10),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("2d", 172800),
        (0, 0),
    ],
)
def test_n08_periods(value: object, seconds: float) -> None:
    assert parse_period(value) == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "5 m", "-1", -1, True, None, [], {}, "1e3", "5y", 1e300, float("nan"), float("inf"), "9" * 39]
)
def test_n08_what_is_no_period(value: object) -> None:
    with pytest.raises(BadPeriod, match="is no length of time"):
        parse_period(value)


def test_a_list_reaches_the_environment_as_json() -> None:
    env, _ = floe_env({"list": [1, {"a": "ü"}]})
    assert json.loads(env["FLOE_OPT_LIST"]) == [1, {"a": "ü"}]


def test_n07_a_text_does_not_grow_without_end_and_stays_as_written() -> None:
    """Else a few lines of a definition would take all the memory of whoever works out what a node sees."""
    node = Node("n", "n", "task", "exec", opts={"cmd": "x", "note": "{{ opts.big }}" * 10_000})
    seen = effective_opts({"big": "y" * 1_000_000}, None, node)
    assert seen["note"] == node.opts["note"]
