"""F-02 to F-09, E-03: what may stand in a definition, and what is said about the rest."""

import pytest

from shared.flows.model import Common
from shared.flows.paths import resolve_path
from shared.flows.problems import Problem, nearest, render
from tests.flows.reading import accepted, good, lines, read, with_task, with_trigger

CMD = "type: exec, opts: {cmd: ls}"


def test_f02_triggers_and_tasks_share_their_ids() -> None:
    text = (
        "id: f\ntriggers:\n- {id: start, type: data}\ntasks:\n"
        "- {id: a, listen: trigger.good, type: exec, opts: {cmd: ls}}\n"
        "- {id: start, listen: task.a.good, type: end}\n"
        "- {id: a, class: merge, wait: [task.a.good]}\n"
    )
    assert lines(text) == [
        "f.yml:6: fatal: [start] flow 1 - task 2 - the id `start` is taken by line 3;"
        " triggers, tasks and merges share their ids",
        "f.yml:7: fatal: [a] flow 1 - merge 3 - the id `a` is taken by line 5;"
        " triggers, tasks and merges share their ids",
    ]
    assert read(text).flows == ()


def test_f02_every_fatal_finding_says_which_flow_and_node_and_line() -> None:
    text = "flows:\n- {id: a.b}\n- id: ok\n  triggers:\n  - {id: t, type: tiemr}\n"
    assert [line for line in lines(text) if ": fatal: " in line] == [
        "f.yml:2: fatal: flow 1 - the id `a.b` holds a dot; only a-z, 0-9, `-` and `_` may stand in an id"
        " (did you mean a-b?)",
        "f.yml:5: fatal: [t] flow 2 - trigger 1 - there is no trigger of type `tiemr`;"
        " there are data, timer, cron, poll-git, git-push, flow (did you mean timer?)",
    ]


def test_f03_the_class_follows_the_section() -> None:
    flow = good(
        "id: f\ntriggers: [{id: start, type: data, class: trigger}]\ntasks:\n"
        "- {id: a, class: task, listen: trigger.good, type: exec, opts: {cmd: ls}}\n"
        "- {id: b, listen: trigger.good, type: exec, opts: {cmd: ls}}\n"
        "- {id: m, class: merge, wait: [task.a.good, task.b.good, task.a.good]}\n"
        "- {id: o, class: merge, type: one, wait: [task.a.good, task.b.good]}\n"
        "- {id: e, listen: merge.m.good, type: end}\n"
    )
    assert [(node.cls, node.type) for node in flow.nodes] == [
        ("trigger", "data"),
        ("task", "exec"),
        ("task", "exec"),
        ("merge", "all"),
        ("merge", "any"),
        ("task", "end"),
    ]
    merge = flow.node("m")
    assert merge is not None
    assert merge.wait == ("task.a.good", "task.b.good")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("- {id: t, type: exec, wait: [trigger.good], opts: {cmd: ls}}", "task 1 - a task has `listen`, not `wait`"),
        ("- {id: t, class: merge, listen: trigger.good}", "merge 1 - a merge has `wait`, not `listen`"),
        ("- {id: t, class: merge, type: some, wait: [trigger.good]}", "there is no merge of type `some`"),
        ("- {id: t, class: trigger, type: data}", "the class under `tasks` can be `task` or `merge`, not `trigger`"),
        ("- {id: t, listen: trigger.good}", "task 1 - has no type; there are exec, fetch"),
        ("- {id: t, listen: [trigger.good], type: end}", "`listen` must be text, and is a list"),
        ("- {id: t, listen: sys.end.all, type: end}", "nodes cannot listen to the system's tags"),
        ("- {id: t, class: merge, wait: [sys.state]}", "nodes cannot listen to the system's tags"),
        ("- {id: t, listen: trigger.good, type: end, good: [zero]}", "`good` must be a list of whole numbers"),
        ("- {id: t, listen: trigger.good, type: end, timeout: soon}", "`timeout` must be a length of time like `30s`"),
        (
            "- {id: t, listen: trigger.good, type: end, ignore-fail: yes}",
            "must be true or false, and is the text `yes`",
        ),
        ("- {id: t, listen: trigger.good, type: end, opts: [a]}", "`opts` must be a mapping, and is a list"),
        ("- just text", "an entry of `tasks` must be a mapping, and is the text `just text`"),
    ],
)
def test_f03_e03_fatal_in_a_node(node: str, message: str) -> None:
    document = read(f"id: f\ntriggers: [{{id: s, type: data}}]\ntasks:\n{node}\n")
    fatal = [problem for problem in document.problems if problem.level == "fatal"]
    assert any(message in problem.message for problem in fatal), lines(f"tasks:\n{node}")
    assert all(problem.line == 4 for problem in fatal)
    assert document.flows == ()


def test_f04_unknown_keys_are_problems_with_the_nearest_word() -> None:
    text = with_task(f"{CMD}, ingore-fail: true, use_status: true, cwd: x").replace(
        "id: f", "id: f\nresuse-space: true"
    )
    assert lines(text) == [
        "f.yml:2: problem: a flow has no key `resuse-space` (did you mean reuse-space?)",
        "f.yml:5: problem: [t] a task has no key `ingore-fail` (did you mean ignore-fail?)",
        "f.yml:5: problem: [t] a task has no key `use_status` (did you mean use-status?)",
        "f.yml:5: problem: [t] a task has no key `cwd`",
    ]


def test_f04_an_unknown_type_is_fatal_and_names_the_nearest() -> None:
    assert lines(with_task("type: exek, opts: {cmd: ls}")) == [
        "f.yml:4: fatal: [t] flow 1 - task 1 - there is no task of type `exek`; there are exec, fetch, git-checkout,"
        " git-merge, data, timer, end (did you mean exec?)"
    ]


def test_f04_an_option_beside_opts_is_told_where_it_belongs() -> None:
    assert "f.yml:4: problem: [t] `cmd` is an option and counts only under `opts`" in lines(
        with_task("type: exec, cmd: x")
    )


@pytest.mark.parametrize("ver", ["0", "-1", "1.5", "one", "true", "[1]"])
def test_f05_ver_is_a_whole_number_from_1(ver: str) -> None:
    assert any("`ver` must be a whole number from 1 on" in line for line in lines(f"id: f\nver: {ver}"))


def test_f05_id_and_ver_are_unique_in_a_file() -> None:
    flow = "triggers: [{id: s, type: data}], tasks: [{id: e, type: end, listen: trigger.good}]"
    text = f"flows:\n- {{id: f, {flow}}}\n- {{id: f, ver: 2, {flow}}}\n- {{id: F, ver: 1, {flow}}}\n"
    assert lines(text) == ["f.yml:4: fatal: the flow `f@1` stands twice, first in line 2; give one another `ver`"]
    assert [flow.ref for flow in read(text).flows] == ["f@1", "f@2"]


def test_f06_every_key_is_known() -> None:
    flow = good(
        "id: f\nver: 3\nname: The Flow\nreuse-space: true\nkeep-space: true\nhost-tags: [linux, go]\n"
        "resource-tags: ['host:gpu']\nenv: [A=1, B=$A]\nsecrets: [KEY]\nflow-file: ./x.yml\ntimeout: 5m\n"
        "notify: {mail: [a@b]}\ntriggers: [{id: start, type: data, opts: {branch: main}}]\n"
        "tasks:\n- id: t\n  name: Do it\n  class: task\n  type: exec\n  listen: trigger.good\n  good: [0, 3]\n"
        "  use-status: true\n  timeout: 90\n  secrets: [TOKEN]\n  opts: {CMD: ls, Args: [1.10, true, 3]}\n"
    )
    assert (flow.ref, flow.name, flow.timeout_seconds) == ("f@3", "The Flow", 300.0)
    assert (flow.host_tags, flow.resource_tags, flow.env) == (("linux", "go"), ("host:gpu",), ("A=1", "B=$A"))
    assert (flow.reuse_space, flow.keep_space, flow.secrets, flow.flow_file) == (True, True, ("KEY",), "./x.yml")
    assert flow.notify == {"mail": ["a@b"]}
    task = flow.node("t")
    assert task is not None
    assert (task.name, task.good, task.use_status, task.timeout_seconds) == ("Do it", (0, 3), True, 90.0)
    assert (task.secrets, task.line) == (("TOKEN",), 15)
    assert task.opts == {"cmd": "ls", "args": ["1.10", "true", "3"]}


def test_f06_option_names_are_case_insensitive() -> None:
    assert accepted(with_task("type: exec, opts: {CmD: ls}")).tasks[0].opts == {"cmd": "ls"}
    assert lines(with_task("type: exec, opts: {CMD: ls, cmd: pwd}")) == [
        "f.yml:4: problem: [t] the option `cmd` stands twice, in different case; the last one counts"
    ]


def test_f07_a_file_of_flows_or_one_flow() -> None:
    flow = "{id: f, triggers: [{id: s, type: data}], tasks: [{id: e, type: end, listen: trigger.good}]}"
    assert good(flow) == good(f"flows: [{flow}]")
    both = read(f"common: {{base-url: /x}}\nflows: [{flow}]")
    assert (both.common.base_url, len(both.flows)) == ("/x", 1)
    assert lines(f"flow: []\nflows: [{flow}]") == [
        "f.yml:1: problem: a file with `flows` has no key `flow` (did you mean flows?)"
    ]
    assert lines(f"[{flow}]")[0].endswith("and this is a list (a list of flows goes under `flows:`)")


def test_f08_common() -> None:
    document = read(
        "common:\n  base-url: /api\n  config-path: git@host:a/b.git/c.yml\n  store-type: local\n"
        "  workspace-root: ~/ws\n  store-root: '%tmp/s'\n  key-file: ~/.ssh/id\n  notify: [x]\n"
        "  hosts: [h1]\nflows: []\n"
    )
    assert document.common == Common(
        "/api", "git@host:a/b.git/c.yml", "local", "~/ws", "%tmp/s", "~/.ssh/id", ["x"], ("h1",)
    )
    assert [render(problem) for problem in document.problems] == [
        "f.yml:9: note: `hosts` is not needed: agents announce themselves"
    ]
    assert read("common: {git-key: ''}").common.git_key is None


@pytest.mark.parametrize(("word", "hint"), [("ec2", ""), ("postgress", " (did you mean postgres?)")])
def test_f08_other_stores_are_refused_by_name(word: str, hint: str) -> None:
    assert lines(f"common: {{store-type: {word}}}") == [
        f"f.yml:1: fatal: the store-type `{word}` does not exist; there are memory, local, postgres{hint}"
    ]


def test_f09_paths_in_common() -> None:
    made = iter(["/tmp/one", "/tmp/two"])

    def resolve(text: str) -> str:
        return resolve_path(text, "/home/me", lambda: next(made))

    assert [resolve(text) for text in ("~", "~/a")] == ["/home/me", "/home/me/a"]
    assert [resolve(text) for text in ("a/~", "~other", "/x")] == ["a/~", "~other", "/x"]
    assert [resolve("%tmp/a"), resolve("%tmp"), resolve("a%tmp")] == ["/tmp/one/a", "/tmp/two", "a%tmp"]


def test_n03_ignore_fail_wins_over_use_status() -> None:
    assert lines(with_task(f"{CMD}, ignore-fail: true, use-status: true")) == [
        "f.yml:4: problem: [t] has both `ignore-fail` and `use-status`; `ignore-fail` wins"
    ]


def test_what_does_nothing_on_a_trigger_is_a_problem() -> None:
    assert lines(with_trigger("type: data, listen: trigger.good")) == [
        "f.yml:3: problem: [start] `listen` does nothing on a trigger"
    ]


def test_a_finding_is_one_line_with_its_place_and_the_nearest_name() -> None:
    assert render(Problem("problem", "no", 3, "n", "yes", "f.yml")) == "f.yml:3: problem: [n] no (did you mean yes?)"
    assert render(Problem("note", "no")) == "definition: note: no"


def test_nearest_takes_what_people_confuse() -> None:
    assert nearest("reuse_space", ["keep-space", "reuse-space"]) == "reuse-space"
    assert nearest("EXEC", ["exec"]) == "exec"
    assert nearest("zzz", ["exec"]) is None
    assert nearest("x" * 10_000, ["exec"]) is None
