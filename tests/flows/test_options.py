"""§3 and §6: the options of each type, checked when a definition is read."""

import pytest

from tests.flows.reading import accepted, good, lines, with_task, with_trigger


@pytest.mark.parametrize(
    "task",
    [
        "type: exec, opts: {cmd: ls -l, env: [A=1], sub-dir: ./a}",
        "type: exec, opts: {cmd: 'my tool', args: [-x, '{{ opts.a }}', 'k={{ opts.b }}']}",
        "type: exec, opts: {shell: 'echo $X', args: [a]}",
        "type: fetch, opts: {url: https://h/f, checksum: d41d8cd98f00b204e9800998ecf8427e, checksum-algo: md5}",
        "type: fetch, opts: {url: '{{ opts.url }}', location: dir/}",
        "type: git-checkout",
        "type: git-checkout, opts: {url: git@h:a/b.git, branch: feature/x, sub-dir: src, key-file: ~/.ssh/id}",
        "type: git-merge, opts: {url: https://h/a.git, ref: main, from-ref: topic}",
        "type: data, opts: {form: {title: Sign off, fields: [{id: good, type: bool, required: true}]}}",
        "type: timer, opts: {period: 5m}",
        "type: end",
    ],
)
def test_the_options_of_each_task_are_known(task: str) -> None:
    good(with_task(task))


@pytest.mark.parametrize(
    "trigger",
    [
        "type: data",
        "type: data, opts: {form: {fields: [{id: a}]}, anything: goes, env: [A=1]}",
        "type: timer",
        "type: timer, opts: {period: 30}",
        "type: cron, opts: {expression: '*/5 * * * 1-5', timezone: Europe/Berlin}",
        "type: poll-git, opts: {url: https://h/r, refs: refs/heads/*, exclude-refs: 'wip/.*', period: 1m}",
        "type: git-push, opts: {repo: a/b, refs: [main], paths: ['src/**'], events: [push, pull-request]}",
        "type: flow, opts: {flow: build, outcome: [good, bad]}",
    ],
)
def test_the_options_of_each_trigger_are_known(trigger: str) -> None:
    good(with_trigger(trigger))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("type: exec, opts: {cmd: ls, shell: ls}", "exec has both `cmd` and `shell`; `cmd` is run and `shell` is not"),
        ("type: exec", "exec has neither `cmd` nor `shell`: there is nothing to run"),
        ("type: exec, opts: {cmd: ''}", "exec has neither `cmd` nor `shell`: there is nothing to run"),
        ("type: exec, opts: {cmd: [a, b]}", "the option `cmd` must be text, and is a list"),
        ('type: exec, opts: {cmd: "a \'b"}', "`cmd` has a ' that is not closed"),
        ("type: exec, opts: {cmd: a, args: [{b: c}]}", "the option `args` must be a list of texts"),
        ("type: exec, opts: {cmd: a, env: [B]}", "the entry `B` of `env` is not NAME=value"),
        ("type: exec, opts: {cmd: a, sub-dir: ../../etc}", "sub-dir `../../etc` holds `..`"),
        ("type: exec, opts: {cmd: a, sub-dir: /etc}", "sub-dir `/etc` is outside the workspace"),
        ("type: exec, opts: {cmd: $FLOE_OPT_X -v}", "`cmd` takes its program from an option, which anybody may set"),
        ("type: fetch", "a fetch task needs the option `url`"),
        ("type: fetch, opts: {url: ftp://h/f}", "fetch cannot load `ftp://h/f`: the url must start with https://"),
        ("type: fetch, opts: {url: https://h/f, checksum: abc}", "`abc` is no checksum: hex of md5, sha1"),
        (
            "type: fetch, opts: {url: https://h/f, checksum: d41d8cd98f00b204e9800998ecf8427e, checksum-algo: sha1}",
            "the checksum has 32 digits, and sha1 has 40",
        ),
        ("type: fetch, opts: {url: https://h/f, checksum-algo: sha257}", "cannot be `sha257`; it is one of sha256"),
        ("type: fetch, opts: {url: https://h/f, location: a/../../b}", "location `a/../../b` holds `..`"),
        ("type: git-checkout, opts: {branch: --upload-pack=x}", "`branch` could be read as an option of git"),
        (
            "type: git-checkout, opts: {url: 'ext::sh -c ls'}",
            "names a helper program, which git is not allowed to start",
        ),
        ("type: git-checkout, opts: {hash: 12ab}", "`12ab` is no commit's hash: 40 to 64 hex digits"),
        ("type: data", "a data task needs the option `form`"),
        ("type: data, opts: {form: [a]}", "a form is a mapping with `title` and `fields`"),
        ("type: data, opts: {form: {fields: [{id: a, type: txt}]}}", "unknown type `txt`; did you mean `text`?"),
        ("type: data, opts: {form: {fields: [{id: a}, {id: a}]}}", "the form has two fields `a`"),
        ("type: data, opts: {form: {fields: [{id: a, type: select}]}}", "is a select without `options`"),
        ("type: data, opts: {form: {fields: [{id: a, type: number, value: x}]}}", "its default must be a number"),
        ("type: data, opts: {form: {fields: [{prompt: a}]}}", "field 1 of the form has no `id`"),
        ("type: timer", "a timer task needs the option `period`"),
        ("type: timer, opts: {period: soon}", "the option `period`: `soon` is no length of time; write `30s`"),
    ],
)
def test_a_wrong_option_of_a_task_is_a_problem(task: str, message: str) -> None:
    found = lines(with_task(task))
    assert [line for line in found if line.startswith("f.yml:4: problem: [t] ") and message in line], found
    accepted(with_task(task))


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("type: timer, opts: {period: 0.5}", "the option `period` must be at least 1 s"),
        ("type: cron", "a cron trigger needs the option `expression`"),
        ("type: cron, opts: {expression: '* * * *'}", "no cron expression: it has 4 fields, not the five of minute"),
        ("type: cron, opts: {expression: '61 * * * *'}", "the option `expression` is no cron expression: bad minute"),
        ("type: cron, opts: {expression: '0 0 * * *', timezone: Mars/Base}", "there is no time zone `Mars/Base`"),
        ("type: poll-git", "a poll-git trigger needs the option `url`"),
        ("type: poll-git, opts: {url: u, exclude: '(x'}", "the option `exclude` is no regular expression"),
        ("type: git-push", "a git-push trigger needs `url` or `repo`"),
        (
            "type: git-push, opts: {repo: r, events: [pushed]}",
            "it is one of push, tag, pull-request (did you mean push?)",
        ),
        ("type: git-push, opts: {repo: r, exclude-refs: '*'}", "the option `exclude-refs` is no regular expression"),
        ("type: flow", "a flow trigger needs the option `flow`"),
        ("type: flow, opts: {flow: b, outcome: [ok]}", "cannot be `ok`; it is one of good, bad, cancelled"),
        ("type: data, opts: {form: {feilds: []}}", "the form has an unknown key `feilds`; did you mean `fields`?"),
    ],
)
def test_t01_to_t06_a_wrong_option_of_a_trigger_is_a_problem(trigger: str, message: str) -> None:
    found = lines(with_trigger(trigger))
    assert [line for line in found if line.startswith("f.yml:3: problem: [start] ") and message in line], found


def test_f04_a_slip_in_an_options_name_is_a_problem_and_other_names_are_data() -> None:
    assert lines(with_task("type: exec, opts: {comand: ls, sub_dir: x, cmd: ls, colour: red}")) == [
        "f.yml:4: problem: [t] an exec task has no option `comand` (did you mean cmd?)",
        "f.yml:4: problem: [t] an exec task has no option `sub_dir` (did you mean sub-dir?)",
        "f.yml:4: note: [t] an exec task has no option `colour`; processes see it as FLOE_OPT_COLOUR",
    ]


@pytest.mark.parametrize(
    ("opts", "where"),
    [
        ("{shell: 'echo {{ opts.x }}'}", "in `shell`"),
        ("{cmd: 'echo {{opts.x}}'}", "in `cmd`"),
        ("{cmd: '{{ opts.x }}', args: [a]}", "in `cmd`"),
        ("{cmd: ls, env: ['{{ opts.x }}=1']}", "left of the `=` in `{{ opts.x }}=1`"),
        ("{cmd: ls, args: ['--{{ opts.x }}=1']}", "left of the `=` in `--{{ opts.x }}=1`"),
    ],
)
def test_n07_a_placeholder_where_a_command_comes_from_is_fatal(opts: str, where: str) -> None:
    (found,) = lines(with_task(f"type: exec, opts: {opts}"))
    assert found.startswith("f.yml:4: fatal: [t] flow 1 - task 1 - `{{")
    assert found.endswith(
        f'cannot stand {where}: text from outside never becomes a command (did you mean "$FLOE_OPT_X"?)'
    )


def test_n07_also_in_the_env_of_flow_and_trigger() -> None:
    text = with_trigger("type: data, opts: {env: ['{{ opts.x }}=1']}").replace(
        "id: f", "id: f\nenv: ['A{{ opts.y }}=1']"
    )
    assert [line.split(": ")[1] for line in lines(text)] == ["fatal", "fatal"]


def test_a_shell_operator_in_cmd_is_noted() -> None:
    assert lines(with_task("type: exec, opts: {cmd: 'ls | wc'}")) == [
        "f.yml:4: note: [t] `cmd` hands `|` to the program as a word; in `shell` it would have its usual meaning"
    ]


def test_use_status_needs_a_status() -> None:
    assert lines(with_task("type: timer, use-status: true, opts: {period: 1}")) == [
        "f.yml:4: problem: [t] `use-status` does nothing: timer has no exit status"
    ]
