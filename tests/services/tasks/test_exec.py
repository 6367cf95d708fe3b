"""FLOWS §6 exec, N-01, N-04, N-06, N-07: what a command is, is given, and hands back."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from services.agent import tasks
from tests.services.tasks.conftest import Doing

Refused = Callable[..., str]


def test_the_log_opens_with_the_directory_and_the_command_line(do: Doing) -> None:
    outcome = do("exec", {"cmd": "echo", "args": ["a b", "c"]})
    assert outcome.log == f"in dir: {do.ws}\n$ echo 'a b' c\na b c\n"
    assert (outcome.status, outcome.error, dict(outcome.opts)) == (0, None, {})


def test_a_status_other_than_zero_ends_the_log(do: Doing) -> None:
    outcome = do("exec", {"shell": "echo out; echo err >&2; exit 3"})
    assert outcome.status == 3
    assert outcome.log.endswith("\nout\nerr\nexited with status: 3\n")


def test_a_process_killed_by_a_signal_has_status_128_and_its_number(do: Doing) -> None:
    outcome = do("exec", {"shell": "kill -9 $$"})
    assert outcome.status == 137
    assert outcome.log.endswith("exited with status: 137\n")


def test_a_task_sees_a_short_list_of_the_agents_environment(do: Doing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOE_RABBITMQ_URL", "amqp://agent:secret@host")
    monkeypatch.setenv("LICENCE_SERVER", "l1")
    monkeypatch.setenv("HOME", "/home/x")
    do.settings = tasks.TaskSettings(pass_env=("LICENCE_SERVER",))
    env = do.plan("exec", {"cmd": "true"}).env
    assert "FLOE_RABBITMQ_URL" not in env
    assert (env["LICENCE_SERVER"], env["HOME"]) == ("l1", "/home/x")
    assert "secret" not in json.dumps(dict(env))


def test_a_task_is_told_where_it_is(do: Doing) -> None:
    env = do.plan("exec", {"cmd": "true"}).env
    told = {name: env[name] for name in env if name.startswith("FLOE") and not name.startswith("FLOE_OPT")}
    assert told == {
        "FLOEWS": str(do.ws),
        "FLOE_RUN": "h1-7",
        "FLOE_FLOW": "build",
        "FLOE_NODE": "compile",
        "FLOE_ACTIVATION": "3",
        "FLOE_EPOCH": "2",
        "FLOE_OUTPUT": str(do.place.scratch / "output"),
    }
    assert env["CI"] == "true"
    assert Path(env["FLOE_OPTS"]).parent == do.place.scratch


def test_floes_own_variables_cannot_be_overridden(do: Doing) -> None:
    env = do.plan("exec", {"cmd": "true"}, env=["FLOE_RUN=other-1", "A=1", "CI=no"]).env
    assert (env["FLOE_RUN"], env["A"], env["CI"]) == ("h1-7", "1", "true")


def test_every_option_reaches_the_task_as_variable_and_in_the_file(do: Doing) -> None:
    outcome = do(
        "exec",
        {"shell": 'echo "$FLOE_OPT_WHO_IS_IT/$FLOE_OPT_LIST"; cp "$FLOE_OPTS" seen.json'},
        opts={"who-is it": "me", "list": [1, "x"]},
    )
    assert 'me/[1,"x"]\n' in outcome.log
    assert json.loads((do.ws / "seen.json").read_text())["list"] == [1, "x"]


def test_the_options_file_is_for_the_task_only(do: Doing) -> None:
    env = do.plan("exec", {"cmd": "true"}).env
    assert stat.S_IMODE(os.stat(env["FLOE_OPTS"]).st_mode) == 0o600


def test_a_value_too_long_for_a_variable_is_in_the_file_only_and_the_log_says_so(do: Doing) -> None:
    outcome = do("exec", {"shell": 'echo "[$FLOE_OPT_BIG]"; wc -c < "$FLOE_OPTS"'}, opts={"big": "x" * 200_000})
    assert "[]\n" in outcome.log
    assert "note: only in the file that FLOE_OPTS names: big (it is over 32 KiB)\n" in outcome.log
    assert outcome.status == 0


def test_what_a_caller_sends_is_data_and_never_the_command(do: Doing) -> None:
    outcome = do("exec", {"shell": 'echo "got: $FLOE_OPT_CMD"'}, opts={"cmd": "rm -rf /", "env": ["A=1"]})
    assert "got: rm -rf /\n" in outcome.log
    assert "A" not in do.plan("exec", {"cmd": "true"}, opts={"env": ["A=1"]}).env


def test_text_from_outside_is_never_split_or_expanded(do: Doing) -> None:
    outcome = do("exec", {"cmd": "printf", "args": ["<%s>", "{{ opts.x }}"]}, opts={"x": "a b; $HOME {{ws}}"})
    assert outcome.log.endswith("<a b; $HOME {{ws}}>")


def test_a_placeholder_in_shell_is_refused(refused: Refused) -> None:
    assert "never becomes a command" in refused("exec", {"shell": "echo {{ opts.x }}"}, opts={"x": "1"})


def test_an_unknown_placeholder_is_named(refused: Refused) -> None:
    assert "nope" in refused("exec", {"cmd": "echo", "args": ["{{ opts.nope }}"]})


def test_without_cmd_and_shell_it_cannot_be_executed(refused: Refused) -> None:
    assert refused("exec", {}) == "exec wants `cmd` or `shell`, and has neither"


def test_an_unknown_type_names_the_known_ones(refused: Refused) -> None:
    assert "exec, fetch, git-checkout, git-merge" in refused("exex", {})


def test_a_bare_command_is_looked_up_on_the_tasks_own_path(do: Doing) -> None:
    tool = do.ws / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho the tool\n")
    tool.chmod(0o755)
    outcome = do("exec", {"cmd": "tool"}, env=["PATH=./bin:$PATH"])
    assert outcome.log.endswith("$ tool\nthe tool\n")


def test_a_command_of_the_directory_is_not_found_by_its_bare_name(do: Doing) -> None:
    (do.ws / "tool").write_text("#!/bin/sh\n")
    (do.ws / "tool").chmod(0o755)
    with pytest.raises(FileNotFoundError):
        do("exec", {"cmd": "tool"})


def test_a_command_that_is_nowhere_is_left_to_the_system_to_refuse(do: Doing) -> None:
    assert do.plan("exec", {"cmd": "no-such-command-here"}).argv == ("no-such-command-here",)
    with pytest.raises(FileNotFoundError):
        do("exec", {"cmd": "no-such-command-here"})


def test_a_command_that_may_not_be_run_is_left_to_the_system_to_refuse(do: Doing) -> None:
    (do.ws / "tool").write_text("x")
    with pytest.raises(PermissionError):
        do("exec", {"cmd": "./tool"})


def test_a_command_that_never_began_is_bad_with_its_status(do: Doing) -> None:
    offer = do.offer("exec", {"cmd": "x"})
    tasks.plan(offer, do.place, do.settings)
    end = tasks.end(offer, do.place, False, 127)
    assert (end.status, end.error, end.trailer) == (127, None, b"exited with status: 127\n")


def test_a_sub_dir_is_created_and_worked_in(do: Doing) -> None:
    outcome = do("exec", {"cmd": "pwd", "sub-dir": "a/b"})
    assert outcome.log == f"in dir: {do.ws}/a/b\n$ pwd\n{do.ws}/a/b\n"


@pytest.mark.parametrize("sub_dir", ["../../etc", "a/../../b", "/etc", "-x"])
def test_a_sub_dir_outside_the_workspace_is_an_error(refused: Refused, sub_dir: str) -> None:
    assert "sub-dir" in refused("exec", {"cmd": "pwd", "sub-dir": sub_dir})


def test_a_symbolic_link_does_not_lead_a_sub_dir_out(do: Doing, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (do.ws / "link").symlink_to(tmp_path / "outside")
    assert "leads out of the workspace" in refused("exec", {"cmd": "pwd", "sub-dir": "link/new"})
    assert not (tmp_path / "outside" / "new").exists()


def test_a_symbolic_link_within_the_workspace_is_followed(do: Doing) -> None:
    (do.ws / "real").mkdir()
    (do.ws / "link").symlink_to("real")
    assert do("exec", {"cmd": "true", "sub-dir": "link"}).status == 0


def test_a_file_in_the_way_of_a_sub_dir_is_an_error(do: Doing, refused: Refused) -> None:
    (do.ws / "file").write_text("")
    assert "a file is in the way" in refused("exec", {"cmd": "pwd", "sub-dir": "file"})


def test_outputs_become_the_events_opts(do: Doing) -> None:
    outcome = do("exec", {"shell": 'printf "a=1\\nb<<EOF\\nx\\ny\\nEOF\\n" >> "$FLOE_OUTPUT"; exit 2'})
    assert (outcome.status, dict(outcome.opts)) == (2, {"a": "1", "b": "x\ny"})


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo nothing > "$FLOE_OUTPUT"', "line 1: neither"),
        ('head -c 70000 /dev/zero > "$FLOE_OUTPUT"', "65536 are the most"),
        ('rm "$FLOE_OUTPUT"; ln -s /etc/passwd "$FLOE_OUTPUT"', "cannot be read"),
        ('rm "$FLOE_OUTPUT"; mkfifo "$FLOE_OUTPUT"', "no file any more"),
        ('rm "$FLOE_OUTPUT"; mkdir "$FLOE_OUTPUT"', "no file any more"),
    ],
)
def test_outputs_that_cannot_be_read_are_an_error(do: Doing, script: str, reason: str) -> None:
    outcome = do("exec", {"shell": script})
    assert outcome.error is not None
    assert reason in outcome.error
    assert outcome.log.endswith(outcome.error + "\n")


def test_an_output_file_that_was_removed_means_no_outputs(do: Doing) -> None:
    assert do("exec", {"shell": 'rm "$FLOE_OUTPUT"'}).error is None


def test_a_plan_may_be_made_again(do: Doing) -> None:
    assert do.plan("exec", {"cmd": "true"}) == do.plan("exec", {"cmd": "true"})
