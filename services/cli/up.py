"""`floe up`: all four services in one process, everything under one directory (ARCHITECTURE §7)."""

import os
import secrets
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from services.cli.conf import Configuration, read_configuration, store_flows
from services.cli.heartbeat import Heartbeat
from services.cli.options import DEFAULT_SERVER, read_dotenv
from services.cli.process import (
    begin,
    bus_part,
    check_addresses,
    lock_root,
    make_root,
    named_services,
    run_loop,
    store_part,
)
from services.cli.render import out
from services.cli.serve import agent_options, listening_options
from services.cli.wiring import START_ORDER, Composition, composition, listeners
from shared.errors import ConfigurationError
from shared.lifecycle import Service, run_services
from shared.settings import Settings
from shared.store.port import ApiStore

_DEFAULT_ROOT = Path("~/.floe")


@click.command("up")
@click.option(
    "--conf", multiple=True, metavar="FILE", type=click.Path(path_type=Path), help="Flow file or directory of them."
)
@click.option("--root", metavar="DIR", help="Where everything is kept (FLOE_ROOT; ~/.floe).")
@click.option("--host", metavar="NAME", help="This machine's name in floe (FLOE_HOST).")
@agent_options
@listening_options
def up_command(conf: tuple[Path, ...], **flags: str | None) -> None:
    """All of floe in one process: hub, dispatcher, agent and api, with SQLite and no broker.

    With FLOE_DATABASE_URL or FLOE_AMQP_URL set it uses PostgreSQL and RabbitMQ instead.
    """
    named = os.environ.get("FLOE_CONF") or read_dotenv().get("FLOE_CONF")
    configuration = read_configuration(conf or ((Path(named),) if named else ()))
    settings = begin(flags, configuration.common, log_level="warning" if sys.stderr.isatty() else "info")
    make_root(settings.root)
    lock = lock_root(settings.root)
    try:
        check_addresses(settings)
        run_loop(_run(composition(), *_with_token(_with_store(settings)), configuration))
    finally:
        os.close(lock)


def _with_store(settings: Settings) -> Settings:
    """Store type `memory`: nothing outlives the process."""
    if settings.store_type == "memory":
        return replace(settings, store_root=Path(tempfile.mkdtemp(prefix="floe-store-")))
    return settings


def _with_token(settings: Settings) -> tuple[Settings, bool]:
    """The settings with a token, and whether it is one of our making: kept in ROOT/token, for its owner to read."""
    if settings.admin_token:
        return settings, False
    return replace(settings, admin_token=kept_token(settings.root / "token")), True


def kept_token(path: Path) -> str:
    """The token in that file; a new one when there is none. Raises ConfigurationError when it cannot be used."""
    try:
        if path.exists() and (kept := path.read_text().strip()):
            path.chmod(0o600)
            return kept
        made = secrets.token_urlsafe()
        fresh = path.with_name(f"token.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made + "\n")
        fresh.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the token in {path} cannot be read or made: {error}") from None
    return made


class _Flows:
    """Stores the configuration's flows before any service looks for flows."""

    def __init__(self, store: ApiStore, configuration: Configuration) -> None:
        self._store, self._configuration = store, configuration

    async def start(self) -> None:
        await store_flows(self._store, self._configuration)

    async def stop(self) -> None:
        return


async def _run(parts: Composition, settings: Settings, made: bool, configuration: Configuration) -> None:
    store, bus = parts.store(settings), parts.bus(settings, "up")
    services: list[tuple[str, Service]] = [
        store_part(settings, store, migrate=True),
        bus_part(settings, bus),
        ("flows", _Flows(store, configuration)),
    ]
    for name in START_ORDER:
        services += named_services(parts, name, settings, bus, store)
    services.append(("heartbeat", Heartbeat(settings.root, "up")))

    async def ready() -> None:
        _greet(settings, made, configuration, [service for name, service in services if name == "api"])

    try:
        await run_services(services, on_ready=ready)
    finally:
        if settings.store_type == "memory" and settings.store_root is not None:
            shutil.rmtree(settings.store_root, ignore_errors=True)


def _greet(settings: Settings, made: bool, configuration: Configuration, apis: list[Service]) -> None:
    """Where it is, with which token, and what to type next."""
    addresses = [
        f"{'https' if tls else 'http'}://{_reachable(host)}:{getattr(api, 'port', port)}"
        for (host, port, tls), api in zip(listeners(settings), apis, strict=True)
    ]
    flows = [flow for flow, _ in configuration.flows]
    startable = [flow.id for flow in flows if any(node.type == "data" for node in flow.triggers)]
    out(f"floe is up at {' and '.join(addresses)}, host {settings.host}, everything in {settings.root}")
    out(f"token: {settings.admin_token} (kept in {settings.root / 'token'})" if made else "token: the one you gave")
    command = f"run {startable[0]} --follow" if startable else "flows put FILE"
    out(f"next:  {_typed(settings, addresses[0], made)} {command}")
    sys.stdout.flush()


def _reachable(host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - shown, not listened on
    return f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown


def _typed(settings: Settings, address: str, made: bool) -> str:
    """How `floe` is called from another terminal so that it finds this one."""
    words = [f"FLOE_SERVER={address}"] if address != DEFAULT_SERVER else []
    if not made:
        words.append("FLOE_TOKEN=...")
    elif settings.root != _DEFAULT_ROOT.expanduser():
        words.append(f"FLOE_ROOT={settings.root}")
    return " ".join([*words, _own_name()])


def _own_name() -> str:
    called = Path(sys.argv[0])
    if called.name != "floe":
        return "floe"
    if shutil.which("floe") == str(called.absolute()):
        return "floe"
    with suppress(ValueError):
        return str(called.absolute().relative_to(Path.cwd()))
    return str(called.absolute())
