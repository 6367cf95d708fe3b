"""What the nemesis' flows run: `task.py DIRECTORY LINES PAUSE STATUS TAGS`. Standard library only.

It appends its own start and end to DIRECTORY/evidence, holds a file lock for each resource tag, and prints counted
lines with a running checksum, so that what was done is known without asking floe.
"""

import fcntl
import json
import os
import resource
import sys
import time
import zlib
from collections.abc import Iterator


def output(run: str, n: str, lines: int) -> Iterator[bytes]:
    """What this activation prints, in pieces: the checker knows it too."""
    first = f"nemesis {run} {n}\n".encode()
    crc = zlib.crc32(first)
    yield first
    for number in range(1, lines + 1):
        line = f"{number:06d} {crc:08x}\n".encode()
        crc = zlib.crc32(line, crc)
        yield line
    yield f"counted {lines} {crc:08x}\n".encode()


def main(directory: str, lines: int, pause: float, status: int, tags: list[str]) -> int:
    """Do it and say so."""
    lift_file_limit()
    note(directory, "start", lines=lines, tags=tags)
    held = [fd for tag in tags if (fd := take(directory, tag)) is not None]
    printed = 0
    for piece in output(os.environ["FLOE_RUN"], os.environ["FLOE_ACTIVATION"], lines):
        os.write(1, piece)
        printed += len(piece)
        if pause:
            time.sleep(pause)
    note(directory, "end", bytes=printed, tags=tags)
    for fd in held:
        os.close(fd)
    return status


def note(directory: str, what: str, **more: object) -> None:
    """One line, whole or not at all."""
    record = {
        "is": what,
        "run": os.environ["FLOE_RUN"],
        "node": os.environ["FLOE_NODE"],
        "activation": int(os.environ["FLOE_ACTIVATION"]),
        "epoch": int(os.environ["FLOE_EPOCH"]),
        "pid": os.getpid(),
        **more,
    }
    fd = os.open(f"{directory}/evidence", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, json.dumps(record).encode() + b"\n")
    os.close(fd)


def take(directory: str, tag: str) -> "int | None":
    """The tag's file lock; None, and a line about it, when another process has it."""
    fd = os.open(f"{directory}/{tag}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        note(directory, "conflict", tag=tag)
        os.close(fd)
        return None
    return fd


def lift_file_limit() -> None:
    """A limit that plays a full disk for the agent is not ours."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


if __name__ == "__main__":
    _, where, count, seconds, code, *wanted = sys.argv
    sys.exit(main(where, int(count), float(seconds), int(code), [tag for word in wanted for tag in word.split(",")]))
