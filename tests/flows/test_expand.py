"""§6 exec: workspace rules, variables, words, and N-07: placeholders that are filled last."""

import tracemalloc
from typing import Any

import pytest

from shared.flows.command import exec_command
from shared.flows.expand import (
    UnknownOption,
    WrongOption,
    expand_text,
    expand_vars,
    expand_words,
    expand_workspace,
    fill,
    split_cmd,
)
from shared.flows.paths import fetch_place, inside, key_file

WS = "/base/path"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("OOF={{ws}}/oof", "OOF=/base/path/oof"),
        ("./go", "/base/path/go"),
        ("OOF=./oof", "OOF=/base/path/oof"),
        ("/go{{ws}}", "/go/base/path"),
        ("/go/{{ws}}", "/go/base/path"),
        ("./...", "./..."),
        ("./../", "/base/path/../"),
        ("a=b=./c", "a=b=./c"),
        ("x=./b", "x=/base/path/b"),
        (".", "/base/path"),
        ("{{ws}}", "/base/path"),
        ("/{{ws}}", "/base/path"),
        ("{{ ws }}/a", "/base/path/a"),
        ("x=.", "x=/base/path"),
        ("./a=b", "./a=b"),
        ("./a=b=c", "/base/path/a=b=c"),
        ("a=b={{ws}}", "a=b=/base/path"),
        ("a./b", "a./b"),
        ("..", ".."),
        ("../a", "../a"),
        (".a", ".a"),
        ("", ""),
    ],
)
def test_exec_the_workspace_table(text: str, expected: str) -> None:
    assert expand_workspace(text, WS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "one"),
        ("${A}b", "oneb"),
        ("$Ab", ""),
        ("x$UNSET.y", "x.y"),
        ("$", "$"),
        ("$1 $$ ${ ${A $(A)", "$1 $$ ${ ${A $(A)"),
        ("'$A'", "'one'"),
        ("$B", "$A"),
    ],
)
def test_exec_variables_come_from_the_tasks_environment(text: str, expected: str) -> None:
    assert expand_vars(text, {"A": "one", "B": "$A"}) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b\tc\nd ", ["a", "b", "c", "d"]),
        ("a\u00a0b\r\n", ["a\u00a0b"]),
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a'b'\"c\"d", ["abcd"]),
        ("'' \"\"", ["", ""]),
        (r"a\ b \\ \'", ["a b", "\\", "'"]),
        (r'"a\"b\$c\d"', ['a"b$c\\d']),
        (r"'a\b'", [r"a\b"]),
        ("a \\\n b", ["a", "b"]),
        ("ls *.py ~ $(x) `y` #z | w", ["ls", "*.py", "~", "$(x)", "`y`", "#z", "|", "w"]),
        ("end\\", ["end\\"]),
    ],
)
def test_exec_cmd_is_split_as_a_posix_shell_splits(text: str, words: list[str]) -> None:
    assert split_cmd(text) == words


@pytest.mark.parametrize("text", ["'a", '"a', 'a "b\\"'])
def test_exec_an_open_quote_is_an_error(text: str) -> None:
    with pytest.raises(WrongOption, match="not closed"):
        split_cmd(text)


OPTS = {"text": "a b", "n": 3, "flag": True, "list": [1, "x"], "evil": "./x $A {{ws}} {{ opts.n }} 'q", "Key.2-x": "k"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ opts.text }}", "a b"),
        ("{{opts.n}}", 3),
        ("{{ opts.flag }}", True),
        ("{{ opts.list }}", [1, "x"]),
        ("n={{ opts.n }} {{ opts.list }} {{opts.flag}}", 'n=3 [1,"x"] true'),
        ("{{ opts.KEY.2-X }}", "k"),
        (["{{ opts.n }}", {"a": "{{ opts.text }}"}, 5], [3, {"a": "a b"}, 5]),
        ("{{ opts.evil }}", OPTS["evil"]),
        ("{{ws}} {{ other.x }} {{ opts. }}", "{{ws}} {{ other.x }} {{ opts. }}"),
    ],
)
def test_n07_placeholders_are_filled_and_keep_their_type_alone(value: object, expected: object) -> None:
    found = fill(value, OPTS)
    assert found == expected
    assert type(found) is type(expected)


def test_n07_an_unknown_key_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownOption, match=r"\{\{ opts.nope \}\}.*nope") as caught:
        fill("x {{ opts.nope }}", OPTS)
    assert caught.value.key == "nope"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ opts.evil }}", OPTS["evil"]),
        ("./{{ opts.evil }}", f"{WS}/{OPTS['evil']}"),
        ("A={{ opts.evil }}", f"A={OPTS['evil']}"),
        ("$A/{{ opts.evil }}/$A", f"one/{OPTS['evil']}/one"),
        (".{{ opts.dot }}", ".."),
        ("{{ opts.dot }}", "."),
        ("${{ opts.name }}", "$A"),
        ("{{ opts.dot }}/{{ws}}", f".{WS}"),
        ("a={{ opts.eq }}./b", "a=x=y./b"),
    ],
)
def test_n07_what_a_placeholder_brings_is_never_expanded(text: str, expected: str) -> None:
    opts = {**OPTS, "dot": ".", "name": "A", "eq": "x=y"}
    assert expand_text(text, WS, {"A": "one", "x": "two"}, opts) == expected


def test_n07_what_a_placeholder_brings_is_never_split() -> None:
    assert expand_words(["{{ opts.text }}", 5, True], WS, {}, OPTS) == ("a b", "5", "true")


def test_n07_a_nul_cannot_reach_a_command() -> None:
    with pytest.raises(WrongOption, match="the option bad holds a NUL"):
        expand_text("{{ opts.bad }}", WS, {}, {"bad": "a\0b"})
    with pytest.raises(WrongOption, match="NUL"):
        expand_text("a\0b", WS, {}, {})


def command(opts: dict[str, object], seen: dict[str, object] | None = None) -> tuple[str, ...]:
    return exec_command(opts, seen or {}, WS, {"A": "one", "PATH": "/bin"}).argv


def test_exec_cmd_without_args_is_split_and_with_args_one_word() -> None:
    assert command({"cmd": "./go build -o . $A '$A' \"x y\""}) == (
        f"{WS}/go",
        "build",
        "-o",
        WS,
        "one",
        "one",
        "x y",
    )
    assert command({"cmd": "my tool", "args": ["a b", "$A", "./..."]}) == ("my tool", "a b", "one", "./...")
    assert command({"cmd": "my tool", "args": []}) == ("my tool",)


def test_exec_shell_is_left_to_bash_and_args_appended() -> None:
    assert command({"shell": "X=5; echo $X ./a {{ws}}", "args": ["$A", "."]}) == (
        "bash",
        "-c",
        f"X=5; echo $X ./a {WS}",
        "one",
        WS,
    )


def test_exec_cmd_wins_over_shell_and_neither_is_an_error() -> None:
    assert command({"cmd": "a", "shell": "b"}) == ("a",)
    with pytest.raises(WrongOption, match="neither"):
        command({})
    with pytest.raises(WrongOption, match="empty once it is expanded"):
        command({"cmd": "$UNSET"})
    with pytest.raises(WrongOption, match="`cmd` must be text"):
        command({"cmd": ["a"]})


def test_n07_a_stored_definition_with_a_placeholder_in_cmd_does_not_run() -> None:
    for key in ("cmd", "shell"):
        with pytest.raises(WrongOption, match="text from outside never becomes a command"):
            command({key: "echo {{ opts.x }}"}, {"x": "a"})


def test_n07_args_may_come_from_options() -> None:
    seen: dict[str, object] = {"x": "$A ./y", "list": ["$A", 1], "A": "no"}
    assert command({"cmd": "p", "args": ["{{ opts.x }}", "v={{ opts.x }}"]}, seen) == ("p", "$A ./y", "v=$A ./y")
    assert command({"cmd": "p", "args": "{{ opts.list }}"}, seen) == ("p", "$A", "1")


def test_exec_environment_in_order_with_floes_own_facts_last() -> None:
    built = exec_command(
        {
            "cmd": "run $B $FLOE_RUN",
            "env": ["B=./b:$A", "C=$B$UNSET", "A=two", "FLOEWS=/no", "FLOE_RUN=no", "D={{ opts.x }}", "B=$B:last"],
        },
        {"x": "$A=./"},
        WS,
        {"A": "one", "PATH": "/bin"},
        {"FLOE_RUN": "h1-1", "CI": "true"},
    )
    assert built.env == {
        "A": "two",
        "PATH": "/bin",
        "B": f"{WS}/b:one:last",
        "C": f"{WS}/b:one",
        "D": "$A=./",
        "FLOEWS": WS,
        "FLOE_RUN": "h1-1",
        "CI": "true",
    }
    assert built.argv == ("run", f"{WS}/b:one:last", "h1-1")


@pytest.mark.parametrize("entry", ["A", "=a", "$UNSET=1", "{{ opts.x }}=1"])
def test_exec_an_env_entry_must_be_name_and_value(entry: str) -> None:
    with pytest.raises(WrongOption, match="is not NAME=value"):
        exec_command({"cmd": "a", "env": [entry]}, {"x": "B"}, WS, {})


def test_exec_the_command_line_is_shown_quoted() -> None:
    assert exec_command({"cmd": "echo", "args": ["a b", "$A"]}, {}, WS, {"A": "it's"}).shown == (
        "$ echo 'a b' 'it'\"'\"'s'"
    )


@pytest.mark.parametrize(
    ("sub_dir", "expected"),
    [
        (None, WS),
        ("a/b", f"{WS}/a/b"),
        ("./a", f"{WS}/a"),
        (".", WS),
        ("{{ws}}/a", f"{WS}/a"),
        ("{{ opts.b }}", f"{WS}/x/y"),
    ],
)
def test_exec_sub_dir_follows_the_workspace_rules(sub_dir: str | None, expected: str) -> None:
    assert exec_command({"cmd": "a", "sub-dir": sub_dir}, {"b": "x/y"}, WS, {}).cwd == expected


@pytest.mark.parametrize("outside", ["../../etc", "a/../b", "/etc", "/base/pathology", "-x", "./-x", "a\0b", "/"])
def test_results_outside_the_workspace_are_errors(outside: str) -> None:
    for seen in ({}, {"x": outside}):
        with pytest.raises(WrongOption, match=r"sub-dir|NUL"):
            exec_command({"cmd": "a", "sub-dir": "{{ opts.x }}" if seen else outside}, seen, WS, {})


def test_inside_takes_absolute_paths_that_are() -> None:
    assert inside(WS, f"{WS}/a//b/") == f"{WS}/a/b"
    assert inside(WS, inside(WS, "a")) == f"{WS}/a"
    assert inside("/", "a") == "/a"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (None, f"{WS}/f.tgz"),
        ("dir/", f"{WS}/dir/f.tgz"),
        ("./dir/", f"{WS}/dir/f.tgz"),
        ("dir/name", f"{WS}/dir/name"),
        ("./name", f"{WS}/name"),
        (".", f"{WS}/f.tgz"),
        ("{{ opts.d }}/", f"{WS}/x/f.tgz"),
    ],
)
def test_fetch_location(location: str | None, expected: str) -> None:
    assert fetch_place(location, "f.tgz", WS, {"d": "x"}) == expected


def test_fetch_location_stays_inside_whatever_the_download_is_called() -> None:
    assert fetch_place(None, "..", WS, {}) == f"{WS}/download"
    assert fetch_place(None, "a/b", WS, {}) == f"{WS}/b"
    for location in ("/etc/passwd", "../x", "{{ opts.d }}"):
        with pytest.raises(WrongOption):
            fetch_place(location, "f", WS, {"d": "/etc/x"})


def test_key_files_may_lie_outside() -> None:
    assert [key_file(text, WS, {}) for text in (None, "", "/root/.ssh/id", "./id", "id", "~/.ssh/id")] == [
        None,
        None,
        "/root/.ssh/id",
        f"{WS}/id",
        f"{WS}/id",
        "~/.ssh/id",
    ]
    with pytest.raises(WrongOption):
        key_file("-oProxyCommand=x", WS, {})


DOUBLED = ["A0=xxxxxxxx", *(f"A{n}=$A{n - 1}${{A{n - 1}}}" for n in range(1, 60))]


@pytest.mark.parametrize(
    "definition",
    [
        {"cmd": "x", "env": DOUBLED},
        {"cmd": "x", "env": ["A=" + "x" * 100_000, "B=" + "$A" * 100_000]},
        {"cmd": "x", "env": ["A=" + "x" * 100_000, *(f"B{n}=$A" for n in range(10_000))]},
        {"cmd": "x", "env": ["A=" + "x" * 100_000], "args": ["$A"] * 10_000},
        {"cmd": "x", "env": ["A=" + "x" * 100_000], "args": "$A$A"},
        {"cmd": "x " + "$A" * 100_000, "env": ["A=" + "x" * 100_000]},
        {"cmd": "x", "args": ["{{ opts.big }}" * 10_000]},
        {"cmd": "x", "args": ["{{ opts.big }}"] * 10_000},
        {"cmd": "x", "args": "{{ opts.big }}" * 10_000},
    ],
)
def test_exec_nothing_is_expanded_beyond_what_a_process_can_be_given(definition: dict[str, Any]) -> None:
    """A few lines of a definition would take all of the agent's memory, and so stop what others run there."""
    tracemalloc.start()
    with pytest.raises(WrongOption, match=r"process can be given"):
        exec_command(definition, {"big": "y" * 100_000}, "/ws", {})
    assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    tracemalloc.stop()
