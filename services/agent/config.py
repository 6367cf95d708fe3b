"""What an agent is told."""

from dataclasses import dataclass, field
from pathlib import Path

from services.agent.tasks.plan import TaskSettings

__all__ = ["AgentConfig", "TaskSettings"]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One agent. `root` is its own directory, where everything it must not lose is; one process per root.

    `slots` bounds the runs that a dispatcher gives it, `task_slots` the processes that run at a time (FLOWS D-07).
    `workspaces` is where `spaces/` goes, by default the root (FLOWS F-08). 0 of `keep_workspaces` keeps all.
    """

    host: str
    root: Path
    tags: tuple[str, ...] = ()
    slots: int = 10
    task_slots: int = 32
    grace_seconds: float = 10.0
    drain_seconds: float = 600.0
    ephemeral: bool = False
    beat_seconds: float = 5.0
    log_cap_bytes: int = 64 * 1024 * 1024
    keep_workspaces: int = 10
    disk_floor_bytes: int = 256 * 1024 * 1024
    resend_seconds: float = 10.0
    workspaces: Path | None = None
    task: TaskSettings = field(default_factory=TaskSettings)
    version: str = ""
