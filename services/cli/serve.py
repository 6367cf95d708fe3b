"""`floe api|hub|dispatcher|agent`: one service in a process of its own. `floe migrate`, `floe health`: beside them."""

from collections.abc import Callable
from pathlib import Path

import click

from services.cli import exits
from services.cli.heartbeat import STALE_SECONDS, Heartbeat, age_seconds
from services.cli.options import root_directory
from services.cli.process import begin, bus_part, check_addresses, make_root, named_services, run_loop, store_part
from services.cli.render import out, say
from services.cli.wiring import ServiceName, composition
from shared.errors import ConfigurationError
from shared.lifecycle import Service, run_services
from shared.settings import Settings

_root = click.option("--root", metavar="DIR", help="Where this process keeps its files (FLOE_ROOT).")
_host = click.option("--host", metavar="NAME", help="This machine's name in floe (FLOE_HOST).")


def listening_options(function: Callable[..., None]) -> Callable[..., None]:
    """What `up` and `api` share."""
    for option in (
        click.option("--tls-key", metavar="FILE", help="Its key (FLOE_TLS_KEY)."),
        click.option("--tls-cert", metavar="FILE", help="Certificate for TLS (FLOE_TLS_CERT)."),
        click.option("--prv-bind", metavar="ADDR", help="A second address, for the inner network (FLOE_PRV_BIND)."),
        click.option("--pub-bind", metavar="ADDR", help="An address for the outer network, instead of --bind."),
        click.option("--bind", metavar="ADDR", help="HOST:PORT to listen on (FLOE_BIND; 127.0.0.1:8080)."),
        click.option("--admin", "admin_token", metavar="TOKEN", help="The admin's bearer token (FLOE_ADMIN_TOKEN)."),
    ):
        function = option(function)
    return function


def agent_options(function: Callable[..., None]) -> Callable[..., None]:
    """What `up` and `agent` share."""
    for option in (
        click.option("--slots", metavar="N", help="Runs at a time (FLOE_SLOTS; 10)."),
        click.option("--tags", metavar="A,B", help="What this host can do (FLOE_TAGS)."),
    ):
        function = option(function)
    return function


@click.command("api")
@_root
@_host
@listening_options
def api_command(**flags: str | None) -> None:
    """The HTTP api."""
    settings = begin(flags)
    if not settings.admin_token:
        raise ConfigurationError("set FLOE_ADMIN_TOKEN (or FLOE_ADMIN_TOKEN_FILE): the api needs an admin's token")
    check_addresses(settings)
    _serve("api", settings)


@click.command("hub")
@_root
@_host
def hub_command(**flags: str | None) -> None:
    """A hub: adopts triggers, advances runs, keeps timers and logs."""
    _serve("hub", begin(flags))


@click.command("dispatcher")
@_root
@_host
def dispatcher_command(**flags: str | None) -> None:
    """A dispatcher: decides which host runs what."""
    _serve("dispatcher", begin(flags))


@click.command("agent")
@_root
@_host
@agent_options
@click.option("--ephemeral", is_flag=True, default=None, help="It will not return: sign off when it ends (containers).")
def agent_command(ephemeral: bool | None, **flags: str | None) -> None:
    """An agent: runs tasks on this machine."""
    _serve("agent", begin({**flags, "ephemeral": "true" if ephemeral else None}))


def _serve(name: ServiceName, settings: Settings) -> None:
    _needs(settings, name)
    make_root(settings.root)
    run_loop(_run(name, settings))


def _needs(settings: Settings, name: ServiceName) -> None:
    wanted = {"FLOE_AMQP_URL": settings.amqp_url, "FLOE_DATABASE_URL": settings.database_url or name == "agent"}
    missing = [setting for setting, value in wanted.items() if not value]
    if missing:
        raise ConfigurationError(f"set {' and '.join(missing)}: `floe {name}` works with others (alone: `floe up`)")


async def _run(name: ServiceName, settings: Settings) -> None:
    parts = composition()
    bus = parts.bus(settings, name)
    services: list[tuple[str, Service]] = []
    store = None
    if name != "agent":
        store = parts.store(settings)
        services.append(store_part(settings, store, migrate=False))
    services += [bus_part(settings, bus), *named_services(parts, name, settings, bus, store)]
    services.append(("heartbeat", Heartbeat(settings.root, name)))
    patience = settings.drain_seconds + settings.grace_seconds if settings.ephemeral else 0
    await run_services(services, stop_seconds=30 + patience)


@click.command("migrate")
@_root
def migrate_command(**flags: str | None) -> None:
    """Bring the database schema to this version, under a lock; services wait for it."""
    settings = begin(flags)
    if not settings.database_url:
        make_root(settings.store_directory)
    run_loop(_migrate(settings))
    out("the schema is up to date")


async def _migrate(settings: Settings) -> None:
    _, store = store_part(settings, composition().store(settings), migrate=True)
    try:
        await store.start()
    finally:
        await store.stop()


@click.command("health")
@click.argument("service", type=click.Choice(["up", "api", "hub", "dispatcher", "agent"]))
@_root
def health_command(service: str, root: str | None) -> None:
    """Exit 0 when SERVICE of this root is alive, else 1: for container health checks."""
    directory = Path(root).expanduser() if root else root_directory()
    age = age_seconds(directory, service)
    if age is not None and age <= STALE_SECONDS:
        out(f"{service} is alive: {age:.0f} s since its last beat")
        return
    since = "no sign of life" if age is None else f"last sign of life {age:.0f} s ago"
    say(f"{service} is not alive: {since} in {directory / 'health'}")
    exits.leave(exits.BAD)
