"""`floe completion SHELL`, and completion of flows, runs and hosts when a server answers at once."""

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from services.cli.options import remote
from shared.errors import FloeError

_PATIENCE_SECONDS = 0.3


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print what makes SHELL complete `floe`: eval "$(floe completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "floe", "_FLOE_COMPLETE").source())


def _names(path: str, key: Callable[[Any], str]) -> Callable[..., list[CompletionItem]]:
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params
        try:
            client = remote(given.get("server"), given.get("token"), timeout_seconds=_PATIENCE_SECONDS).client
            found = [key(item) for item in client.get(path, limit=50)["items"]]
        except (FloeError, KeyError, TypeError):
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]

    return complete


flow_ids = _names("/flows", lambda item: str(item["id"]))
run_refs = _names("/runs", lambda item: str(item["ref"]))
hosts = _names("/agents", lambda item: str(item["host"]))
