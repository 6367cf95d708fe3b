"""What a dispatcher is told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DispatcherConfig:
    """Times in seconds. A host is away after three missed beats, lost after `lost_after_seconds` of silence."""

    name: str = "dispatcher"
    lost_after_seconds: float = 300.0
    beat_seconds: float = 5.0
    presence_seconds: float = 1.0
    sweep_seconds: float = 2.0
    view_limit: int = 2_000
