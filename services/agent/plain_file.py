"""Files that a task can reach, read by the agent: it may have put a pipe, a device or a link in their place."""

import os
import stat
from pathlib import Path


def open_plain(path: Path | str) -> int:
    """A descriptor to read from. Never blocks, follows no link. Raises OSError, also for what is no file."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(0, "it is no file any more")
    return opened


def read_plain(path: Path | str, most: int) -> bytes:
    """What is in the file, cut after `most` bytes. Raises OSError as `open_plain`."""
    with open(open_plain(path), "rb") as file:
        return file.read(most)
