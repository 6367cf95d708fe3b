"""A complete file into a workspace: whole or not at all, replacing what was there (FLOWS §6 fetch)."""

import os
import secrets
import shutil
from pathlib import Path

from services.agent.programs.report import ProgramError


def put(source: Path, target: Path, workspace: Path, *, link: bool) -> None:
    """Put the file at `target`, parents created; `link` where one file system holds both, else a copy.

    Raises ProgramError when the target is a directory or, its symbolic links followed, outside the workspace.
    """
    _check(target.parent, workspace)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check(target.parent, workspace)
    if target.is_dir() and not target.is_symlink():
        raise ProgramError(f"location: {target} is a directory: end it with / to put the file into it")
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if not link or not _linked(source, partial):
            shutil.copyfile(source, partial)
            shutil.copymode(source, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _check(directory: Path, workspace: Path) -> None:
    if not directory.resolve().is_relative_to(workspace.resolve()):
        raise ProgramError(f"location: {directory} leads out of the workspace")


def _linked(source: Path, partial: Path) -> bool:
    try:
        os.link(source, partial)
    except OSError:
        return False
    return True
