"""git-merge: one branch into another in the workspace, by `shared.git` (FLOWS §6)."""

from pathlib import Path
from typing import Any

from services.agent.programs.git_checkout import remote_of, stayed_inside
from services.agent.programs.report import Done, say
from shared.git import merge


def work(spec: dict[str, Any]) -> Done:
    """Merge as the spec says; a conflict is bad, its files in the log. Raises GitError, ProgramError."""
    into = Path(spec["into"])
    done = merge(remote_of(spec), into, spec["branch"], spec["from_branch"], say)
    stayed_inside(into, spec)
    for path in done.conflicts:
        say(f"conflict: {path}")
    if done.conflicts:
        return Done({"branch": done.branch, "conflicts": list(done.conflicts)}, bad=True)
    say(f"{into}: {done.branch} at {done.commit}")
    return Done({"hash": done.commit, "branch": done.branch})
