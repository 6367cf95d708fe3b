"""How a program of ours is told what to do, and says how it went."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import FloeError

GOOD, BAD, ERROR = 0, 1, 2


class ProgramError(FloeError):
    """The node cannot be done as asked; the text is the reason (FLOWS N-04)."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a program did: `bad` for an outcome that the flow may listen to, `opts` for its event."""

    opts: Mapping[str, Any] = field(default_factory=dict)
    bad: bool = False


def say(line: str) -> None:
    """One line for the task's log."""
    print(line)


def run(work: Callable[[dict[str, Any]], Done], scratch: Path) -> int:
    """Do the work that `scratch/spec.json` describes, write `scratch/result.json`, return the exit status."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    try:
        done = work(json.loads((scratch / "spec.json").read_bytes()))
    except (FloeError, OSError) as error:
        say(f"error: {error}")
        write_json(scratch / "result.json", {"error": str(error)})
        return ERROR
    write_json(scratch / "result.json", {"opts": dict(done.opts)})
    return BAD if done.bad else GOOD


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, readable for the owner only."""
    partial = path.with_name(path.name + ".part")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(json.dumps(value).encode())
    partial.replace(path)
