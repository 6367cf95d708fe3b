"""The composition root: the `floe` command, and the only place that names adapters and services.

Everything is imported when it is asked for: `floe --help` and client commands load no service, no database, no web
framework; `floe agent` loads no database and no web framework either.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import click

from services.cli import exits, hide
from shared.errors import FloeError

if TYPE_CHECKING:
    from services.cli.wiring import ServiceName
    from shared.bus.port import Bus
    from shared.lifecycle import Service
    from shared.settings import Settings
    from shared.store.port import Store

_COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "All of floe in one process on this machine."),
    "run": ("start", "Start a run; --follow shows it as it happens."),
    "runs": ("runs", "The runs, newest first."),
    "show": ("runs", "One run; of a bad one what failed first."),
    "logs": ("runs", "What a run's tasks printed."),
    "cancel": ("runs", "End a run."),
    "data": ("runs", "Answer a node that waits for data."),
    "pends": ("runs", "What waits for a host, and why."),
    "flows": ("flows", "The flows; `floe flows put FILE` stores some."),
    "agents": ("agents", "The hosts; drain, resume, delete one."),
    "validate": ("definitions", "Check flow files."),
    "graph": ("definitions", "The levels and edges of a flow."),
    "api": ("serve", "The api alone, on RabbitMQ and PostgreSQL."),
    "hub": ("serve", "A hub alone."),
    "dispatcher": ("serve", "A dispatcher alone."),
    "agent": ("serve", "An agent alone, on RabbitMQ."),
    "migrate": ("serve", "Bring the database schema to this version."),
    "health": ("serve", "Whether a service on this machine is alive."),
    "completion": ("completion", "Shell completion, to be sourced."),
}


class _Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = import_module(f"services.cli.{_COMMANDS[name][0]}")
        return cast(click.Command, getattr(module, f"{name}_command"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from shared.flows.problems import nearest

            near = nearest(args[0], _COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}" + (f", did you mean {near}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"floe {version()}")
        ctx.exit()


@click.group("floe", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, help="Show the version.", callback=_show_version
)
def floe() -> None:
    """Runs flows: continuous integration, delivery, and any process made of commands, waits and people."""


class Assembly:
    """`wiring.Composition`: parts made from settings."""

    def bus(self, settings: "Settings", name: str) -> "Bus":
        if settings.amqp_url:
            from shared.bus.rabbitmq import RabbitBus

            return RabbitBus(settings.amqp_url, name=f"{name}@{settings.host}")
        from shared.bus.memory import MemoryBus

        return MemoryBus()

    def store(self, settings: "Settings") -> "Store":
        if settings.database_url:
            from shared.store.postgres import PostgresStore

            return PostgresStore(settings.database_url)
        from shared.store.sqlite import SqliteStore

        return SqliteStore(settings.store_directory)

    def services(self, name: "ServiceName", settings: "Settings", bus: "Bus", store: "Store | None") -> "list[Service]":
        if name == "agent":
            return [_agent(settings, bus)]
        assert store is not None
        if name == "hub":
            return [_hub(settings, bus, store)]
        return [_dispatcher(settings, bus, store)] if name == "dispatcher" else _apis(settings, bus, store)


def _hub(settings: "Settings", bus: "Bus", store: "Store") -> "Service":
    from services.hub.config import HubConfig
    from services.hub.service import HubService

    config = HubConfig(
        settings.host,
        task_timeout_seconds=settings.task_timeout_seconds,
        keep_runs_days=settings.keep_runs_days,
    )
    return HubService(bus, store, config)


def _dispatcher(settings: "Settings", bus: "Bus", store: "Store") -> "Service":
    from services.dispatcher.config import DispatcherConfig
    from services.dispatcher.service import DispatcherService

    config = DispatcherConfig(settings.host, lost_after_seconds=settings.lost_after_seconds)
    return DispatcherService(bus, store, config)


def _agent(settings: "Settings", bus: "Bus") -> "Service":
    from services.agent.config import AgentConfig, TaskSettings
    from services.agent.service import AgentService

    tasks = TaskSettings(
        pass_env=settings.pass_env,
        git_protocols=":".join(settings.git_protocols),
        allow_file_urls=settings.allow_file_urls,
        git_key=settings.git_key,
    )
    config = AgentConfig(
        settings.host,
        settings.root,
        tags=settings.tags,
        slots=settings.slots,
        task_slots=settings.agent_tasks,
        grace_seconds=settings.grace_seconds,
        drain_seconds=settings.drain_seconds,
        ephemeral=settings.ephemeral,
        log_cap_bytes=settings.log_cap_bytes,
        keep_workspaces=settings.keep_workspaces,
        workspaces=settings.workspace_root,
        task=tasks,
        version=version(),
    )
    return AgentService(bus, config)


def _apis(settings: "Settings", bus: "Bus", store: "Store") -> "list[Service]":
    from services.api.config import ApiConfig
    from services.api.service import ApiService
    from services.cli.wiring import listeners

    return [
        ApiService(
            bus,
            store,
            ApiConfig(
                settings.admin_token or "",
                base_url=settings.base_url,
                host=host,
                port=port,
                tls_cert=str(settings.tls_cert) if tls else None,
                tls_key=str(settings.tls_key) if tls else None,
                version=version(),
            ),
        )
        for host, port, tls in listeners(settings)
    ]


def version() -> str:
    """This distribution's version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("floe")
    except PackageNotFoundError:
        return "0.0.0"


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code that API.md gives to what happened."""
    given = list(sys.argv[1:] if args is None else args)
    hide.hide(hide.secrets_of_command_line(given))
    for stream in (sys.stdout, sys.stderr):
        cast(Any, stream).reconfigure(errors="replace")
    sys.exit(_run(given))


def _run(args: list[str]) -> int:
    try:
        code = floe.main(args, prog_name="floe", standalone_mode=False, obj=Assembly())
        sys.stdout.flush()
        return code if isinstance(code, int) else exits.GOOD
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BAD
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except click.ClickException as error:
        return _complain(_usage(error), exits.USAGE)
    except FloeError as error:
        if os.environ.get("FLOE_DEBUG"):
            raise
        return _complain(exits.in_one_line(error), exits.code_of(error))
    except Exception as error:
        if os.environ.get("FLOE_DEBUG"):
            raise
        what = f"{type(error).__name__}: {exits.in_one_line(error)}"
        return _complain(f"this should not happen: {what} (FLOE_DEBUG=1 shows where)", exits.BAD)


def _usage(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text} (see {context.command_path} --help)" if context else text


def _complain(text: str, code: int) -> int:
    click.echo(f"floe: {text}", err=True)
    return code


if __name__ == "__main__":
    main()
