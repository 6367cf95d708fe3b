"""Commands about hosts."""

from typing import Any

import click

from services.cli.client import path_of
from services.cli.completion import hosts
from services.cli.options import Remote, all_items, client_command
from services.cli.render import local_time, show, table


@click.group("agents", invoke_without_command=True)
@client_command
def agents_command(remote: Remote) -> None:
    """The hosts: tags, slots, load, state."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    items = all_items(remote.client, "/agents")
    headings = ("HOST", "STATE", "TAGS", "SLOTS", "RUNNING", "LAST SEEN", "VERSION")
    show(items, remote.output, lambda: table(headings, map(_row, items), "no hosts"))


def _row(agent: dict[str, Any]) -> tuple[object, ...]:
    state = "draining" if agent.get("draining") and agent.get("state") == "up" else agent.get("state")
    slots = f"{agent.get('used', 0)}/{agent.get('slots', '?')}"
    seen = local_time(agent.get("last_seen_at") or agent.get("last_seen"))
    return agent["host"], state, agent.get("tags"), slots, agent.get("running"), seen, agent.get("version")


@agents_command.command("drain")
@click.argument("host", shell_complete=hosts)
@client_command
def drain(remote: Remote, host: str) -> None:
    """Give HOST no new runs; those that are there go on."""
    answer = remote.client.send("POST", path_of("agents", host, "drain"))
    show(
        answer.body or {"host": host},
        remote.output,
        lambda: f"{host} gets no new runs; undo: floe agents resume {host}",
    )


@agents_command.command("resume")
@click.argument("host", shell_complete=hosts)
@client_command
def resume(remote: Remote, host: str) -> None:
    """Give HOST runs again."""
    answer = remote.client.send("POST", path_of("agents", host, "resume"))
    show(answer.body or {"host": host}, remote.output, lambda: f"{host} gets runs again")


@agents_command.command("delete")
@click.argument("host", shell_complete=hosts)
@click.option("--force", is_flag=True, help="Although it is up.")
@client_command
def delete(remote: Remote, host: str, force: bool) -> None:
    """Forget HOST; runs that wait on it end."""
    answer = remote.client.send("DELETE", path_of("agents", host), query={"force": "true"} if force else None)
    show(answer.body or {"host": host}, remote.output, lambda: f"{host} is deleted")
