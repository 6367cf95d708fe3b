"""Paths that definitions name, once more with the file system's eyes: symbolic links count here (RELIABILITY §4)."""

import re
from pathlib import Path

from services.agent.tasks.plan import TaskError
from shared.flows.expand import expand_workspace
from shared.flows.opts import Given

_WORKSPACE = re.compile(r"\{\{\s*ws\s*\}\}")


def made_inside(workspace: Path, directory: Path, option: str) -> Path:
    """Make the directory, and return it, when it really is in the workspace. Raises TaskError naming the option."""
    check_inside(workspace, directory, option)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise TaskError(f"{option}: {directory} cannot be made, a file is in the way") from error
    check_inside(workspace, directory, option)
    return directory


def check_inside(workspace: Path, path: Path, option: str) -> None:
    """Raise TaskError when the path, its symbolic links followed, is outside the workspace."""
    if not path.resolve().is_relative_to(workspace.resolve()):
        raise TaskError(f"{option}: {path} leads out of the workspace")


def url_in(workspace: Path, given: Given) -> str:
    """A definition's url, in which `{{ws}}` is the workspace and a path follows the workspace rules.

    One that came from outside stays as it is (FLOWS N-07).
    """
    if given.outside:
        return given.value
    if "://" in given.value:
        return _WORKSPACE.sub(lambda _: str(workspace), given.value)
    return expand_workspace(given.value, str(workspace))
