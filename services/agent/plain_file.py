"""Files that a task can reach, read by the agent: it may have put a pipe, a device or a link in their place."""

import errno
import os
import stat
from pathlib import Path


class NoFile(OSError):
    """Something else is there: a link, a directory, a pipe, a device."""


def open_plain(path: Path | str) -> int:
    """A descriptor to read from. Never blocks, follows no link. Raises NoFile, and OSError as `os.open` does."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NoFile(error.errno, "it is no file any more") from error
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NoFile(errno.EINVAL, "it is no file any more")
    return opened


def read_plain(path: Path | str, most: int) -> bytes:
    """What is in the file, cut after `most` bytes. Raises OSError as `open_plain`."""
    with open(open_plain(path), "rb") as file:
        return file.read(most)
