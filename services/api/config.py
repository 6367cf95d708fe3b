"""What the api is told by the composition root: where it listens, who may speak to it, and where its patience ends."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Everything that can be set. Sizes in bytes, times in seconds; the defaults suit an installation of any size.

    `port` 0 takes any free one. `event_limit_bytes` bounds what becomes a message (triggers, data); other bodies, of
    which flow files are the largest, are bounded by `body_limit_bytes`.
    """

    admin_token: str = field(repr=False)
    base_url: str = "/api/v1"
    host: str = "127.0.0.1"
    port: int = 8080
    tls_cert: str | None = None
    tls_key: str | None = None
    version: str = ""
    body_limit_bytes: int = 25 * 1024 * 1024
    event_limit_bytes: int = 1024 * 1024
    wait_default_seconds: float = 60.0
    wait_most_seconds: float = 3600.0
    log_grace_seconds: float = 5.0
    """How long an answer about an end waits for output that was announced and is not stored yet."""
    poll_seconds: float = 1.0
    """How often a waiter that hears nothing looks into the store."""
    keep_alive_seconds: float = 15.0
    """How often a silent event stream says that it is there."""
    most_streams: int = 1000
    """Waits, follows and event streams open at a time; what comes above gets 503."""
    stop_seconds: float = 3.0
    """How long open requests may go on once the service stops."""
    access_log: bool = False
