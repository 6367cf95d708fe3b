"""One branch merged into another in a working copy; nothing is pushed (FLOWS §6, git-merge)."""

from dataclasses import dataclass
from pathlib import Path

from shared.git.check import check_ref
from shared.git.checkout import check_out_ref, fetch, fetch_ref, head, is_shallow, local, prepare
from shared.git.remote import Remote
from shared.git.run import GitError, Say, quiet, run

_START, _STEPS = "--depth=50", ("--deepen=200", "--deepen=1000", "--unshallow")


@dataclass(frozen=True, slots=True)
class Merged:
    """The branch after the merge. With `conflicts`, paths within it, nothing was committed and the marks stand."""

    path: Path
    commit: str
    branch: str
    conflicts: tuple[str, ...] = ()


def merge(remote: Remote, into: Path, branch: str, from_branch: str, say: Say = quiet) -> Merged:
    """Check out `branch`, merge `from_branch` (branch, tag or full ref) with a commit by `floe`, push nothing.

    Fetches history until a common ancestor is known. `into` is made, or used again as `checkout_shallow` does.
    Raises InvalidInput for names that are none, GitError when a ref is missing or the two share no history.
    """
    check_ref(branch)
    check_ref(from_branch)
    prepare(remote, into, say)
    ours = fetch_ref(remote, into, branch, _START, say)
    theirs = fetch_ref(remote, into, from_branch, _START, say)
    _deepen_to_base(remote, into, ours, theirs, say)
    check_out_ref(into, ours, say)
    commit = local(into, "rev-parse", "--verify", theirs[1] + "^{commit}").strip()
    message = f"Merge {from_branch} into {branch}"
    words = ["merge", "--no-ff", "--no-edit", "--no-verify", "-m", message, commit]
    status, out = run(words, cwd=into, say=say, good=(0, 1))
    for line in out.splitlines():
        say(line)
    conflicts = _conflicts(into) if status else ()
    if status and not conflicts:
        raise GitError(f"git could not merge {from_branch} into {branch}")
    return Merged(into, head(into), branch, conflicts)


def _deepen_to_base(remote: Remote, into: Path, ours: tuple[str, str], theirs: tuple[str, str], say: Say) -> None:
    refspecs = [f"+{there}:{here}" for there, here in dict.fromkeys((ours, theirs))]
    for depth in _STEPS:
        if _have_base(into, ours[1], theirs[1]):
            return
        if not is_shallow(into):
            break
        fetch(remote, into, depth, *refspecs, say=say)
    if not _have_base(into, ours[1], theirs[1]):
        raise GitError(f"{ours[0]} and {theirs[0]} share no history")


def _have_base(into: Path, ours: str, theirs: str) -> bool:
    return run(["merge-base", ours, theirs], cwd=into, good=(0, 1))[0] == 0


def _conflicts(into: Path) -> tuple[str, ...]:
    return tuple(local(into, "diff", "--name-only", "--diff-filter=U", "-z").split("\0")[:-1])
