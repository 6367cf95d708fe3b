"""What a hub is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubConfig:
    """`host` names this hub's runs (FLOWS D-01). Times are seconds; 0 days keeps for ever."""

    host: str
    task_timeout_seconds: float = 0.0
    resend_seconds: float = 2.0
    """After how long without an answer an offer or a stop is said again."""
    sweep_seconds: float = 1.0
    prune_seconds: float = 600.0
    keep_runs_days: int = 90
    keep_triggers_days: int = 90
    batch: int = 200
