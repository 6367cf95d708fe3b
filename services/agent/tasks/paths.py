"""Paths that definitions name, once more with the file system's eyes: symbolic links count here (RELIABILITY §4)."""

from pathlib import Path

from services.agent.tasks.plan import TaskError


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
