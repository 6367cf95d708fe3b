"""Small disks of our own that can be filled and made read-only: tmpfs in a mount namespace that dies with us.

Where the machine does not let us mount, `available` is False and the faults that need a disk say so.
"""

import ctypes
import os
import subprocess
from pathlib import Path

_NEW_MOUNTS = 0x00020000
_FILLER = ".filler"
_state = {"available": False}


def enter() -> None:
    """Take a mount namespace of our own. Before any thread is started."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) == 0 and _mount("--make-rprivate", "/"):
        _state["available"] = True


def available() -> bool:
    """Disks can be made here."""
    return _state["available"]


def make(path: Path, megabytes: int) -> None:
    """Put a disk of that size where the directory is; nothing happens where that is not possible."""
    path.mkdir(exist_ok=True)
    if available():
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "none", str(path))


def fill(path: Path) -> int:
    """Use up all that is free; returns how many bytes that were."""
    taken = 0
    with (path / _FILLER).open("ab", buffering=0) as file:
        for size in (1 << 20, 4096):
            block = bytes(size)
            try:
                while True:
                    taken += file.write(block)
            except OSError:
                continue
    return taken


def free(path: Path) -> None:
    """Give it back."""
    (path / _FILLER).unlink(missing_ok=True)


def read_only(path: Path, *, on: bool) -> bool:
    """Whether that could be done: a disk with a file open for writing refuses."""
    return _mount("-o", f"remount,{'ro' if on else 'rw'}", str(path))


def drop(path: Path) -> None:
    """Take the disk away again, with what is on it."""
    if available():
        subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)


def _mount(*args: str) -> bool:
    if os.geteuid() != 0:
        return False
    return subprocess.run(["mount", *args], check=False, capture_output=True).returncode == 0
