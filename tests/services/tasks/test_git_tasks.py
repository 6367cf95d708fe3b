"""FLOWS §6 git-checkout and git-merge, N-01, N-07, RELIABILITY §2 git: with real repositories."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.agent import tasks
from tests.services.tasks.conftest import Doing
from tests.services.tasks.repository import Repository

Refused = Callable[..., str]


def test_the_default_branch_is_checked_out_under_the_repositorys_name(do: Doing, repository: Repository) -> None:
    commit = repository.commit({"a": "1"})
    outcome = do("git-checkout", {"url": repository.url})
    assert (outcome.status, outcome.error) == (0, None), outcome.log
    assert dict(outcome.opts) == {"hash": commit, "branch": "main"}
    assert (do.ws / "tool" / "a").read_text() == "1"


def test_a_checkout_is_as_shallow_as_can_be(do: Doing, repository: Repository) -> None:
    repository.commit({"a": "1"})
    repository.commits(5)
    do("git-checkout", {"url": str(repository.path)})
    clone = Clone(do.ws / "tool")
    assert clone.git("rev-list", "--count", "HEAD") == "1"


def test_a_branch_keeps_its_slashes_and_a_tag_is_found_too(do: Doing, repository: Repository) -> None:
    repository.commit({"a": "1"})
    repository.branch("feature/x")
    wanted = repository.commit({"a": "2"})
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.branch("main", "main")
    for branch in ("feature/x", "v1", "refs/heads/feature/x", "refs/tags/v1"):
        outcome = do("git-checkout", {"url": repository.url, "branch": branch, "sub-dir": branch})
        assert dict(outcome.opts) == {"hash": wanted, "branch": branch}, outcome.log
        assert (do.ws / branch / "tool" / "a").read_text() == "2"


def test_a_hash_goes_before_a_branch_and_is_fetched_by_itself(do: Doing, repository: Repository) -> None:
    wanted = repository.commit({"a": "1"})
    repository.commit({"a": "2"})
    outcome = do("git-checkout", {"url": repository.url, "branch": "main", "hash": wanted})
    assert dict(outcome.opts) == {"hash": wanted, "branch": "main"}
    assert Clone(do.ws / "tool").git("rev-list", "--count", "--all", "HEAD") == "1"


@pytest.mark.parametrize("branch", [{}, {"branch": "main"}])
def test_history_is_deepened_only_when_the_server_demands_it(
    do: Doing, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, branch: dict[str, str]
) -> None:
    (tmp_path / ".gitconfig").write_text("[protocol]\n version = 0\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = repository.commit({"a": "1"})
    repository.commits(100)
    outcome = do("git-checkout", {"url": repository.url, "hash": wanted, **branch})
    assert outcome.opts["hash"] == wanted, outcome.log
    assert "fetching more history" in outcome.log
    assert (do.ws / "tool" / "a").read_text() == "1"


def test_url_branch_and_hash_may_come_from_the_event(do: Doing, repository: Repository, refused: Refused) -> None:
    wanted = repository.commit({"a": "1"})
    repository.commit({"a": "2"})
    outcome = do("git-checkout", {"url": repository.url}, opts={"hash": wanted, "branch": "main", "ref": "nope"})
    assert dict(outcome.opts) == {"hash": wanted, "branch": "main"}
    assert "no branch or tag 'main2'" in refused("git-checkout", {"url": repository.url}, opts={"branch": "main2"})


@pytest.mark.parametrize("scheme", ["file:///srv/x", "http://h/x", "git://h/x", "/srv/x"])
def test_an_events_url_is_https_or_ssh(refused: Refused, scheme: str) -> None:
    assert "only https, ssh" in refused("git-checkout", {}, opts={"url": scheme})
    assert "only https, ssh" in refused("git-checkout", {"url": "{{ opts.where }}"}, opts={"where": scheme})


def test_a_definitions_url_may_be_a_path_of_the_workspace(do: Doing) -> None:
    commit = Repository(do.ws / "source" / "tool.git").commit({"a": "1"})
    for n, url in enumerate(("{{ws}}/source/tool.git", "./source/tool.git", "file://{{ws}}/source/tool.git")):
        outcome = do("git-checkout", {"url": url, "sub-dir": str(n)})
        assert outcome.opts["hash"] == commit, outcome.log
        assert (do.ws / str(n) / "tool" / "a").exists()


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ({"url": "--upload-pack=touch x"}, "blanks"),
        ({"url": "--upload-pack=x"}, "could be read as an option"),
        ({"url": "ext::sh -c id"}, "blanks"),
        ({"url": "ext::sh"}, "asks for a helper program"),
        ({"url": "ssh://-oProxyCommand=x/y"}, "could be read as an option"),
        ({"url": "git@-oProxyCommand=x:y"}, "could be read as an option"),
        ({"url": "fd://3/x"}, "fd is not allowed"),
        ({"url": "{{ opts.u }}"}, "names an option that this node does not have: u"),
        ({"url": "tool"}, "neither a url nor an absolute path"),
        ({"url": "/x", "branch": "--upload-pack=touch /tmp/x"}, "could be read as an option"),
        ({"url": "/x", "branch": "-x"}, "could be read as an option"),
        ({"url": "/x", "branch": "a..b"}, "no name for a branch"),
        ({"url": "/x", "branch": "a b"}, "no name for a branch"),
        ({"url": "/x", "hash": "HEAD"}, "is no commit"),
        ({"url": "/x", "hash": "abc123"}, "is no commit"),
        ({"url": "/x", "sub-dir": "../../etc"}, "sub-dir"),
        ({"url": "/x/.."}, "names no repository"),
        ({"url": "/x", "key-file": "no/such/key"}, "there is no file"),
        ({}, "wants `url`, and has none"),
    ],
)
def test_what_could_be_misread_is_an_error_before_git_runs(
    refused: Refused, definition: dict[str, str], reason: str
) -> None:
    assert reason in refused("git-checkout", definition)


def test_an_unknown_branch_or_commit_is_named(refused: Refused, repository: Repository) -> None:
    repository.commit({"a": "1"})
    assert "no branch or tag 'nope'" in refused("git-checkout", {"url": repository.url, "branch": "nope"})
    assert f"no commit {'a' * 40}" in refused("git-checkout", {"url": repository.url, "hash": "a" * 40})


def test_an_unreachable_repository_is_an_error_with_gits_words(do: Doing, tmp_path: Path) -> None:
    outcome = do("git-checkout", {"url": f"{tmp_path}/nowhere"})
    assert outcome.error == f"git: '{tmp_path}/nowhere' does not appear to be a git repository"
    assert outcome.log.endswith(f"error: {outcome.error}\n")
    assert do("git-checkout", {"url": "https://127.0.0.1:1/x.git"}).error is not None


def test_a_protocol_that_the_agent_does_not_allow_is_refused(
    do: Doing, refused: Refused, repository: Repository
) -> None:
    do.settings = tasks.TaskSettings(git_protocols="https:ssh")
    assert "file is not allowed, only https, ssh" in refused("git-checkout", {"url": repository.url})


def test_a_repository_that_is_there_is_brought_to_the_new_state(do: Doing, repository: Repository) -> None:
    repository.commit({"a": "1", "b": "1"})
    do("git-checkout", {"url": repository.url})
    (do.ws / "tool" / "a").write_text("edited")
    (do.ws / "tool" / "built.o").write_text("kept")
    (do.ws / "tool" / ".git" / "index.lock").write_text("")
    repository.commit({"a": "2"})
    assert do("git-checkout", {"url": repository.url}).error is None
    assert (do.ws / "tool" / "a").read_text() == "2"
    assert (do.ws / "tool" / "built.o").exists()


def test_files_in_the_way_are_not_overwritten(do: Doing, refused: Refused, repository: Repository) -> None:
    repository.commit({"a": "1"})
    (do.ws / "tool").mkdir()
    (do.ws / "tool" / "mine").write_text("")
    assert "in the way" in refused("git-checkout", {"url": repository.url})


def test_a_symbolic_link_does_not_lead_a_checkout_out(
    do: Doing, refused: Refused, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"a": "1"})
    (tmp_path / "outside").mkdir()
    (do.ws / "tool").symlink_to(tmp_path / "outside")
    assert "leads out" in refused("git-checkout", {"url": repository.url})
    (do.ws / "dir").symlink_to(tmp_path / "outside")
    assert "leads out" in refused("git-checkout", {"url": repository.url, "sub-dir": "dir"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_that_came_with_a_checkout_leads_nothing_out(
    do: Doing, refused: Refused, repository: Repository, tmp_path: Path
) -> None:
    (repository.path / "out").symlink_to(tmp_path)
    repository.commit({})
    assert do("git-checkout", {"url": repository.url}).error is None
    assert "leads out" in refused("exec", {"cmd": "pwd", "sub-dir": "tool/out"})
    assert "leads out" in refused("git-checkout", {"url": repository.url, "sub-dir": "tool/out"})


def test_no_hook_runs(do: Doing, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit({"a": "1"})
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        (template / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (template / hook).chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[init]\n templateDir = {template.parent}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert do("git-checkout", {"url": repository.url}).error is None
    assert not (tmp_path / "ran").exists()


def test_a_key_file_is_the_nodes_then_the_agents(do: Doing, tmp_path: Path) -> None:
    def key(definition: dict[str, str]) -> str:
        do.plan("git-checkout", {"url": "git@h:x.git", **definition})
        return str(json.loads((do.place.scratch / "spec.json").read_text())["key_file"])

    assert key({}) == ""
    do.settings = tasks.TaskSettings(git_key="/keys/agent")
    assert key({}) == "/keys/agent"
    (do.ws / "mine").write_text("")
    assert key({"key-file": "./mine"}) == f"{do.ws}/mine"


def test_a_merge_is_committed_by_floe_and_not_pushed(do: Doing, repository: Repository) -> None:
    before = _fork(repository, "theirs\n")
    outcome = do("git-merge", {"url": repository.url, "branch": "main", "from-branch": "topic"})
    assert (outcome.status, outcome.error) == (0, None), outcome.log
    clone = Clone(do.ws / "tool")
    assert clone.git("log", "-1", "--format=%an %cn %s") == "floe floe Merge topic into main"
    assert dict(outcome.opts) == {"hash": clone.git("rev-parse", "HEAD"), "branch": "main"}
    assert (do.ws / "tool" / "new").read_text() == "theirs\n"
    assert repository.git("rev-parse", "main") == before


def test_a_conflict_is_bad_and_lists_the_files(do: Doing, repository: Repository) -> None:
    _fork(repository, "theirs\n")
    repository.commit({"new": "ours\n", "sub/é x": "ours\n"})
    repository.git("checkout", "--quiet", "topic")
    repository.commit({"sub/é x": "theirs\n"})
    repository.git("checkout", "--quiet", "main")
    definition = {"url": repository.url, "ref": "main", "from-ref": "topic"}
    outcome = do("git-merge", definition)
    assert (outcome.status, outcome.error) == (1, None), outcome.log
    assert outcome.log.endswith("conflict: new\nconflict: sub/é x\n")
    assert outcome.opts["conflicts"] == ["new", "sub/é x"]
    repository.commit({"new": "theirs\n", "sub/é x": "theirs\n"})
    assert do("git-merge", definition).status == 0


def test_history_is_fetched_until_the_merge_base_is_known(do: Doing, repository: Repository) -> None:
    repository.commit({"a": "1"})
    repository.branch("topic")
    repository.commits(300)
    repository.git("checkout", "--quiet", "--force", "main")
    repository.commit({"b": "1"})
    outcome = do("git-merge", {"url": repository.url, "branch": "main", "from-branch": "topic"})
    assert outcome.status == 0, outcome.log
    assert "--deepen=200" in outcome.log


def test_branches_without_common_history_are_an_error(refused: Refused, repository: Repository) -> None:
    repository.commit({"a": "1"})
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.commit({"b": "1"})
    reason = refused("git-merge", {"url": repository.url, "branch": "main", "from-branch": "other"})
    assert "share no history" in reason


def test_a_merge_wants_both_branches(refused: Refused, repository: Repository) -> None:
    assert "`from-branch`" in refused("git-merge", {"url": repository.url, "branch": "main"})
    assert "`branch`" in refused("git-merge", {"url": repository.url, "from-branch": "main"}, opts={"ref": "x"})


class Clone(Repository):
    """What a task checked out."""

    def __init__(self, path: Path) -> None:
        self.path = path


def _fork(repository: Repository, text: str) -> str:
    """`topic` adds the file `new`; `main` is one commit further too, and checked out. Its hash."""
    repository.commit({"a": "1\n"})
    repository.branch("topic")
    repository.commit({"new": text})
    repository.git("checkout", "--quiet", "main")
    return repository.commit({"a": "2\n"})
