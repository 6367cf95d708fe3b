"""git-checkout: a working copy in the workspace, by `shared.git` (FLOWS §6)."""

from pathlib import Path
from typing import Any

from services.agent.programs.report import Done, ProgramError, say
from shared.git import Remote, checkout_shallow


def work(spec: dict[str, Any]) -> Done:
    """Check out what the spec names; the opts are its `hash` and `branch`. Raises GitError, ProgramError."""
    into = Path(spec["into"])
    done = checkout_shallow(remote_of(spec), into, spec["branch"], spec["hash"], say)
    stayed_inside(into, spec)
    say(f"{into}: {done.branch or 'commit'} at {done.commit}")
    return Done({"hash": done.commit, "branch": done.branch})


def remote_of(spec: dict[str, Any]) -> Remote:
    """The remote that a git task's spec names. Raises InvalidInput."""
    return Remote(spec["url"], spec["protocols"], spec["key_file"], spec["from_event"])


def stayed_inside(into: Path, spec: dict[str, Any]) -> None:
    """After a checkout: raise ProgramError when its directory is outside the workspace by now (RELIABILITY §4)."""
    if not into.resolve().is_relative_to(Path(spec["workspace"]).resolve()):
        raise ProgramError(f"{into} leads out of the workspace")
