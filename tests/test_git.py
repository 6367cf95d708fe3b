"""RELIABILITY §2 git: what may reach git, how it is called, and what polling asks of it."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.git import (
    GitError,
    Remote,
    check_hash,
    check_ref,
    check_url,
    checkout_shallow,
    ls_remote,
    masked,
    repo_name,
)
from shared.git.run import environment, run
from tests.services.tasks.repository import Repository
from tests.waiting import wait_until_blocking


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "tool")


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://git.example/a/b.git", "https"),
        ("HTTPS://git.example/a", "https"),
        ("https://user:word@git.example/a", "https"),
        ("ssh://git@git.example:2222/a/b", "ssh"),
        ("git@git.example:a/b.git", "ssh"),
        ("git.example:a/b", "ssh"),
        ("git@[::1]:a/b", "ssh"),
        ("git://git.example/a", "git"),
        ("file:///srv/a.git", "file"),
        ("/srv/with:colon/a.git", "file"),
    ],
)
def test_a_urls_protocol_is_known(url: str, protocol: str) -> None:
    assert check_url(url) == protocol


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-x",
        "--upload-pack=touch",
        "ext::sh",
        "ext::sh -c x",
        "fd::17",
        "remote-helper::x",
        "https::x",
        "https://h/a\nb",
        "https://h/a b",
        "h:a\0b",
        "ssh://-oProxyCommand=x/a",
        "ssh://u@-oProxyCommand=x/a",
        "ssh://-u@h/a",
        "-oProxyCommand=x:a",
        "u@-h:a",
        "h:--upload-pack=x",
        "ftp://h/a",
        "relative/path",
        "../up",
    ],
)
def test_a_url_that_could_do_harm_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url)


def test_only_the_protocols_that_are_set_are_taken() -> None:
    with pytest.raises(InvalidInput, match="file is not allowed, only https, ssh"):
        check_url("/srv/a", "https:ssh")
    with pytest.raises(InvalidInput, match="http is not allowed in a url that comes from an event, only https, ssh"):
        check_url("http://h/a", from_event=True)
    with pytest.raises(InvalidInput, match="only ssh"):
        check_url("https://h/a", "ssh:file", from_event=True)


@pytest.mark.parametrize("ref", ["main", "feature/x", "v1.0", "refs/pull/7/head", "a-b", "ü", "a@b", "x{1}"])
def test_a_branch_that_git_would_take_is_taken(ref: str) -> None:
    assert check_ref(ref) == ref
    assert run(["check-ref-format", "--branch", ref], good=(0,))[0] == 0


@pytest.mark.parametrize(
    "ref",
    [
        *("", "-b", "--upload-pack=x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/", "a//b"),
        *(".a", "a/.b", "a.lock", "a.lock/b", "a.", "@", "@{-1}", "a@{1}", "a\x7f", "a\nb", "HEAD"),
        *("refs/heads/-x", "refs/tags/--x", "refs/heads/"),
    ],
)
def test_a_branch_that_git_would_refuse_is_refused(ref: str) -> None:
    with pytest.raises(InvalidInput):
        check_ref(ref)


PIECES = st.sampled_from(["", "-", ".", "..", "/", "//", "/.", ".lock", "@", "@{", "}", *"~^:?*[\\ \x7f\t"])
LETTERS = st.sampled_from(["a", "é", ""])


@settings(max_examples=200, deadline=None)
@given(st.tuples(LETTERS, PIECES, LETTERS, st.just("") | PIECES, LETTERS).map("".join))
def test_no_branch_is_taken_that_git_would_refuse(ref: str) -> None:
    try:
        check_ref(ref)
    except InvalidInput:
        return
    run(["check-ref-format", "--branch", ref])


def test_a_hash_is_whole_and_hexadecimal() -> None:
    assert check_hash("A" * 40) == "a" * 40
    assert check_hash("0" * 64) == "0" * 64
    for text in ("", "a" * 39, "a" * 41, "g" * 40, "-" + "a" * 39, "a" * 40 + "\n", "HEAD"):
        with pytest.raises(InvalidInput):
            check_hash(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.git", "b"),
        ("https://h/a/b/", "b"),
        ("https://h/a/b?x=1", "b"),
        ("git@h:b.git", "b"),
        ("git@h:a/b", "b"),
        ("/srv/b.git/", "b"),
        ("/srv/b/.git", "b"),
        ("file:///srv/a%20b", None),
        ("https://h/", None),
        ("https://h/..", None),
        ("https://h/%2e%2e", None),
        ("https://h/-x.git", None),
        ("/.git", None),
    ],
)
def test_a_repositorys_name_is_the_last_part_of_its_url(url: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(InvalidInput):
            repo_name(url)
    else:
        assert repo_name(url) == name


def test_credentials_in_urls_are_masked() -> None:
    assert masked("at https://me:w@rd@h/x and ssh://git@h/y") == "at https://***@h/x and ssh://git@h/y"
    assert masked("https://ghp_token@h/x HTTP://t@h/ http://h/a@b") == "https://***@h/x HTTP://***@h/ http://h/a@b"


def test_git_is_called_without_prompts_hooks_and_credentials_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOE_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    env = environment("https:ssh", "/keys/it's mine")
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["GIT_ALLOW_PROTOCOL"] == "https:ssh"
    assert env["GIT_SSH_COMMAND"].startswith("ssh -o BatchMode=yes")
    assert env["GIT_SSH_COMMAND"].endswith("""-i '/keys/it'"'"'s mine'""")
    assert not {"FLOE_DATABASE_URL", "GIT_DIR"} & set(env)
    monkeypatch.delenv("GIT_DIR")
    assert run(["config", "core.hooksPath"])[1] == "/dev/null\n"


def test_git_itself_refuses_a_protocol_that_is_not_allowed(repository: Repository) -> None:
    with pytest.raises(GitError, match="transport 'file' not allowed"):
        run(["ls-remote", "--", repository.url], protocols="https")


def test_polling_lists_refs_with_their_hashes(repository: Repository) -> None:
    commit = repository.commit({"a": "1"})
    repository.git("branch", "feature/x")
    repository.git("tag", "-a", "v1", "-m", "one")
    remote = Remote(str(repository.path))
    assert set(ls_remote(remote)) == {"refs/heads/main", "refs/heads/feature/x", "refs/tags/v1"}
    assert ls_remote(remote, "refs/heads/*") == {"refs/heads/main": commit, "refs/heads/feature/x": commit}
    with pytest.raises(InvalidInput):
        ls_remote(remote, "--upload-pack=x")


def test_a_remote_that_does_not_answer_in_time_is_an_error_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec cat < /dev/zero > /dev/null\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(GitError, match=r"took longer than 0\.5 s"):
        ls_remote(Remote("git@127.0.0.1:x"), timeout_seconds=0.5)
    pid = int((tmp_path / "pid").read_text())
    wait_until_blocking(lambda: not _lives(pid), what="ssh is gone")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_checkout_says_what_it_does(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"a": "1"})
    lines: list[str] = []
    done = checkout_shallow(Remote(repository.url), tmp_path / "into", say=lines.append)
    assert (done.commit, done.branch) == (commit, "main")
    assert any(line.startswith("$ git fetch") for line in lines)
    checkout_shallow(Remote(repository.url), tmp_path / "into", commit=commit)


def test_an_empty_repository_has_no_default_branch(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="has no default branch"):
        checkout_shallow(Remote(repository.url), tmp_path / "into")


def test_git_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="cannot start git"):
        run(["version"])
