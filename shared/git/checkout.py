"""The shallowest working copy of one branch, tag or commit (FLOWS §6, git-checkout)."""

from dataclasses import dataclass
from pathlib import Path

from shared.git.check import check_hash, check_ref
from shared.git.remote import Remote, default_branch
from shared.git.run import GitError, Say, quiet, run

_DEPTHS = ("--depth=64", "--depth=1024", "--unshallow")
_NO_SUCH_REF = "couldn't find remote ref"
_UNADVERTISED = "unadvertised object"
_NO_SHALLOW = "does not support shallow"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working copy and what is in it. `branch` is empty when only a commit was asked for."""

    path: Path
    commit: str
    branch: str


def checkout_shallow(remote: Remote, into: Path, branch: str = "", commit: str = "", say: Say = quiet) -> Checkout:
    """Check out the commit, else the branch or tag, else the default branch, with as little history as can be had.

    `into` is made, or, where it already is a repository, brought to that state; files that git does not know stay.
    A commit is fetched by itself; only a server that refuses that is asked for more and more history. Raises
    InvalidInput for a branch or commit that is none, GitError for what git or the server refuses.
    """
    if branch:
        check_ref(branch)
    if commit:
        commit = check_hash(commit)
    elif not branch:
        branch = default_branch(remote, say)
    prepare(remote, into, say)
    if commit:
        _fetch_commit(remote, into, branch, commit, say)
        local(into, "checkout", "--quiet", "--force", "--detach", commit, "--", say=say)
    else:
        check_out_ref(into, fetch_ref(remote, into, branch, "--depth=1", say), say)
    return Checkout(into, head(into), branch)


def prepare(remote: Remote, into: Path, say: Say = quiet) -> None:
    """Make `into` a repository that knows the remote as `origin`; one that is there is kept. Raises GitError."""
    if not (into / ".git").is_dir():
        if into.exists() and any(into.iterdir()):
            raise GitError(f"{into} is in the way: it is no git repository, and not empty")
        run(["init", "--quiet", "--", str(into)], say=say)
    for lock in ("index.lock", "shallow.lock", "HEAD.lock"):
        (into / ".git" / lock).unlink(missing_ok=True)
    run(["config", "remote.origin.url", remote.url], cwd=into)
    run(["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"], cwd=into)


def local(into: Path, *args: str, say: Say = quiet) -> str:
    """Run a git command that talks to nobody, and return its output."""
    return run(args, cwd=into, say=say)[1]


def head(into: Path) -> str:
    """The hash of what is checked out."""
    return local(into, "rev-parse", "--verify", "HEAD^{commit}").strip()


def fetch_ref(remote: Remote, into: Path, ref: str, depth: str, say: Say = quiet) -> tuple[str, str]:
    """Fetch a branch, else a tag, of that name; return its name there and its name here. Raises GitError."""
    for there, here in _places(ref):
        try:
            fetch(remote, into, depth, f"+{there}:{here}", say=say)
        except GitError as error:
            if _NO_SUCH_REF in error.output:
                continue
            raise
        return there, here
    raise GitError(f"no branch or tag {ref!r} at {remote}")


def _places(ref: str) -> list[tuple[str, str]]:
    if ref.startswith("refs/heads/"):
        return [(ref, "refs/remotes/origin/" + ref.removeprefix("refs/heads/"))]
    if ref.startswith("refs/tags/"):
        return [(ref, ref)]
    if ref.startswith("refs/"):
        return [(ref, "refs/floe/" + ref.removeprefix("refs/"))]
    return [(f"refs/heads/{ref}", f"refs/remotes/origin/{ref}"), (f"refs/tags/{ref}", f"refs/tags/{ref}")]


def fetch(remote: Remote, into: Path, depth: str, *refspecs: str, say: Say = quiet) -> None:
    """Fetch to a depth (a git option; empty for all), or everything from a server that knows no shallow history."""
    words = ["fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
    try:
        remote.run(*words, *([depth] if depth else []), "--", remote.url, *refspecs, cwd=into, say=say)
    except GitError as error:
        if not depth or _NO_SHALLOW not in error.output:
            raise
        remote.run(*words, "--", remote.url, *refspecs, cwd=into, say=say)


def check_out_ref(into: Path, fetched: tuple[str, str], say: Say = quiet) -> None:
    """Put a fetched ref into the working copy: a branch under its own name, anything else by its commit."""
    there, here = fetched
    if there.startswith("refs/heads/"):
        name = there.removeprefix("refs/heads/")
        local(into, "checkout", "--quiet", "--force", "--no-track", "-B", name, here, "--", say=say)
    else:
        local(into, "checkout", "--quiet", "--force", "--detach", here, "--", say=say)


def is_shallow(into: Path) -> bool:
    """Whether history is cut off somewhere."""
    return local(into, "rev-parse", "--is-shallow-repository").strip() == "true"


def _has(into: Path, commit: str) -> bool:
    return run(["cat-file", "-e", commit + "^{commit}"], cwd=into, good=(0, 1, 128))[0] == 0


def _fetch_commit(remote: Remote, into: Path, branch: str, commit: str, say: Say) -> None:
    if _has(into, commit):
        return
    try:
        fetch(remote, into, "--depth=1", commit, say=say)
        return
    except GitError as error:
        if "not our ref" in error.output:
            raise GitError(f"no commit {commit} at {remote}") from error
        if _UNADVERTISED not in error.output:
            raise
    say("the server hands out no single commit: fetching more history")
    refspec = "+refs/heads/*:refs/remotes/origin/*"
    if branch:
        refspec = f"+{fetch_ref(remote, into, branch, '--depth=1', say)[0]}:refs/floe/wanted"
    for depth in _DEPTHS:
        if depth == "--unshallow" and not is_shallow(into):
            break
        fetch(remote, into, depth, refspec, say=say)
        if _has(into, commit):
            return
    raise GitError(f"no commit {commit} in {branch or 'any branch'} at {remote}")
