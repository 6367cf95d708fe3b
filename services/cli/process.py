"""What commands that run services share: settings, logs, secrets out of sight, the root, the loop."""

import asyncio
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from services.cli import hide
from services.cli.options import read_dotenv
from services.cli.wiring import Composition, ServiceName, listeners
from shared.bus.port import Bus
from shared.errors import ConfigurationError, Conflict
from shared.lifecycle import Service
from shared.observability import configure_logs
from shared.setting_values import without_credentials
from shared.settings import Settings, read_settings, secret_names, unknown_names
from shared.store.port import Store

log = structlog.get_logger()
_PATIENCE_SECONDS = 1.5


def begin(
    flags: Mapping[str, str | None], common: Mapping[str, str | None] | None = None, log_level: str | None = None
) -> Settings:
    """Read the settings once, set up logs, and hide the secrets. `log_level`: where none is set."""
    dotenv = read_dotenv()
    settings = read_settings(flags, os.environ, dotenv, common)
    known = {**dotenv, **os.environ}
    configure_logs(
        settings.log, settings.log_level if known.get("FLOE_LOG_LEVEL") else log_level or "info", hide=settings.secrets
    )
    for name, near in unknown_names(known):
        log.warning("settings.unknown", name=name, **({"did_you_mean": near} if near else {}))
    hide.hide(settings.secrets, secret_names())
    hide.keep_others_out()
    return settings


def make_root(root: Path) -> None:
    """The root, for nobody else to look into. Raises ConfigurationError when it cannot be used."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (root / ".writable").open("w"):
            pass
        (root / ".writable").unlink()
    except OSError as error:
        raise ConfigurationError(
            f"the root {root} cannot be used: {error.strerror}; give another with --root or FLOE_ROOT"
        ) from None


def lock_root(root: Path) -> int:
    """Take the root for this process alone, for as long as it lives. Raises Conflict when another has it."""
    held = os.open(root / "floe.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(held, 32).decode("ascii", "replace").strip()
        os.close(held)
        who = f" (process {owner})" if owner else ""
        raise Conflict(f"another floe{who} uses {root}: stop it, or give this one another root (--root)") from None
    os.ftruncate(held, 0)
    os.write(held, f"{os.getpid()}\n".encode())
    return held


def check_addresses(settings: Settings) -> None:
    """Say at once, before anything starts, that an address is taken or is none of ours."""
    for host, port, _ in listeners(settings):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                pass
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}; give another with --bind") from None


class Part:
    """A bus or a store as a service: started first, closed last; says what it waits for when that takes its time."""

    def __init__(self, what: str, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
        self._what, self._start, self._stop = what, start, stop

    async def start(self) -> None:
        """Return when it works."""
        loop = asyncio.get_running_loop()
        reminder = loop.call_later(_PATIENCE_SECONDS, partial(log.warning, "service.waits", on=self._what))
        try:
            await self._start()
        finally:
            reminder.cancel()

    async def stop(self) -> None:
        """Close it."""
        await self._stop()


def bus_part(settings: Settings, bus: Bus) -> tuple[str, Service]:
    """The bus, to be started before the services that use it."""
    where = f"broker {without_credentials(settings.amqp_url)}" if settings.amqp_url else "bus"
    return "bus", Part(where, bus.start, bus.close)


def store_part(settings: Settings, store: Store, *, migrate: bool) -> tuple[str, Service]:
    """The store, to be started before the services that use it."""
    where = f"database {without_credentials(settings.database_url)}" if settings.database_url else "store"
    return "store", Part(where, lambda: store.start(migrate=migrate), store.close)


def named_services(
    composition: Composition, name: ServiceName, settings: Settings, bus: Bus, store: Store | None
) -> list[tuple[str, Service]]:
    """The services of one name, with it."""
    return [(name, service) for service in composition.services(name, settings, bus, store)]


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run it on uvloop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
