"""What a task type is to the agent: a plan that turns an offer into one process, and reads its end.

Every type is one process under the spawner: exec runs the author's command, fetch and git run small programs of our
own. So stopping, output, survival of an agent's restart and limits are the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import FloeError


class TaskError(FloeError):
    """The node cannot be executed as asked (FLOWS N-04); the text becomes the reason and the last line of the log."""


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """The directories of one activation. All exist before a plan is made, mode 0700."""

    workspace: Path
    """What authors call `{{ws}}`."""
    scratch: Path
    """Outside the workspace: the output file (`FLOE_OUTPUT`), the options file (`FLOE_OPTS`), a program's result."""
    cache: Path
    """The host's fetch cache, shared by all activations."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What the agent was told about running tasks."""

    pass_env: tuple[str, ...] = ()
    git_protocols: str = "https:ssh:http:git:file"
    allow_file_urls: bool = False
    git_key: str = ""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One process to start. `env` is its whole environment; `preamble` are bytes that open its log."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    preamble: bytes = b""
    own_program: bool = False
    """It is one of our own programs: its result is in `scratch/result.json`, and it prints its own errors."""


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How it ended: a status of its own, or the reason why it could not be done as asked; `trailer` ends the log."""

    status: int | None = None
    error: str | None = None
    opts: Mapping[str, Any] = field(default_factory=dict)
    trailer: bytes = b""
