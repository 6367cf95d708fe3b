"""Deletes what tasks have left, whatever they made of it: read-only, links, and directories deeper than any path."""

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

import structlog

log = structlog.get_logger()

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: Path) -> None:
    """Delete what is at the path with all that is in it; links are not followed. Missing is fine.

    Neither recursion nor long paths: directories are moved up before they are emptied, so that any depth takes two
    descriptors. What cannot be deleted is logged and stays. Never raises OSError.
    """
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        os.chmod(path, 0o700)
        top = os.open(path, _DIRECTORY)
        try:
            _empty(top, path)
        finally:
            os.close(top)
        path.rmdir()
    except OSError as error:
        log.warning("workspace.not_removed", path=str(path), error=str(error))


def remove_all(paths: Iterable[Path]) -> None:
    """Remove each of them."""
    for path in paths:
        remove(path)


def is_directory(path: Path) -> bool:
    """Whether a directory is there, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _empty(top: int, path: Path) -> None:
    stuck: set[str] = set()
    while names := set(os.listdir(top)) - stuck:
        for name in names:
            try:
                if _is_directory_in(top, name):
                    _flatten(top, name)
                else:
                    os.unlink(name, dir_fd=top)
            except OSError as error:
                stuck.add(name)
                log.warning("workspace.not_removed", path=f"{path}/{name}", error=str(error))


def _flatten(top: int, name: str) -> None:
    """Delete the files of a directory, move its directories up, and delete it. Raises the first OSError at its end."""
    errors: list[OSError] = []
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for entry in os.listdir(inner):
            try:
                if _is_directory_in(inner, entry):
                    os.chmod(entry, 0o700, dir_fd=inner)
                    os.rename(entry, f".{secrets.token_hex(16)}", src_dir_fd=inner, dst_dir_fd=top)
                else:
                    os.unlink(entry, dir_fd=inner)
            except OSError as error:
                errors.append(error)
    finally:
        os.close(inner)
    if errors:
        raise errors[0]
    os.rmdir(name, dir_fd=top)


def _is_directory_in(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
