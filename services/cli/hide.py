"""Keeps secrets out of what other users and tasks can read of this process: its command line and first environment.

Both lie in the process's own memory, and `/proc/PID/cmdline` and `/proc/PID/environ` show that memory as it is now. So
the values are overwritten there. Linux only; elsewhere nothing happens.
"""

import ctypes
import os
import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

_SET_DUMPABLE = 4  # prctl(2)
_FLAGS = ("--admin", "--token")
_FIRST_FIELD = 3  # the first that follows the name in /proc/self/stat, see proc(5)
_ARG_START, _ENV_START = 48, 50


def secrets_of_command_line(args: Sequence[str]) -> tuple[str, ...]:
    """The values of flags that carry secrets."""
    found = [value for flag, value in pairwise(args) if flag in _FLAGS]
    found += [arg.partition("=")[2] for arg in args if arg.startswith(tuple(f"{flag}=" for flag in _FLAGS))]
    return tuple(value for value in found if value)


def hide(values: Collection[str], names: Collection[str] = ()) -> None:
    """Overwrite the values wherever they stand as an argument, and take the named variables out of the environment.

    Call it early, before other threads start. Twice is harmless.
    """
    for name in names:
        os.environ.pop(name, None)
    secret = [value.encode("utf-8", "surrogateescape") for value in values if value]
    if not secret:
        return
    try:
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            for start, end in _areas():
                memory.seek(start)
                before = memory.read(end - start)
                after = overwritten(before, secret)
                if after != before:
                    memory.seek(start)
                    memory.write(after)
    except OSError:
        return


def keep_others_out() -> None:
    """No process of the same user, a task above all, reads this one's memory or environment from now on.

    Linux only. Programs that this one starts are as open as ever; there are no core dumps of it. Call it after `hide`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def overwritten(area: bytes, secret: Collection[bytes]) -> bytes:
    """NUL-separated words; one that is a secret, or ends in `=` and a secret, has it replaced by as many `*`."""
    words = area.split(b"\0")
    for value in secret:
        words = [
            word[: len(word) - len(value)] + b"*" * len(value) if word == value or word.endswith(b"=" + value) else word
            for word in words
        ]
    return b"\0".join(words)


def _areas() -> list[tuple[int, int]]:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    starts = [int(fields[at - _FIRST_FIELD]) for at in (_ARG_START, _ARG_START + 1, _ENV_START, _ENV_START + 1)]
    return [(start, end) for start, end in (starts[:2], starts[2:]) if 0 < start < end]
