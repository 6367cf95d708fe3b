"""Commands about flows that a server holds."""

from pathlib import Path
from typing import Any

import click

from services.cli.client import path_of
from services.cli.options import Remote, all_items, client_command
from services.cli.render import coloured, local_time, say, show, table


@click.group("flows", invoke_without_command=True)
@client_command
def flows_command(remote: Remote) -> None:
    """The flows: latest version, last run, findings."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    items = [_summary(item) for item in all_items(remote.client, "/flows")]
    headings = ("FLOW", "VER", "NAME", "LAST RUN", "OUTCOME", "WHEN", "FINDINGS")
    show(items, remote.output, lambda: table(headings, map(_row, items), "no flows yet: floe flows put FILE"))


def _summary(item: dict[str, Any]) -> dict[str, Any]:
    """An item of the list with the flow's own fields on top, wherever the api puts them."""
    flow = item.get("flow")
    return {**item, **flow} if isinstance(flow, dict) else item


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    last = (item.get("runs") or [{}])[0]
    name = item.get("id") or item.get("flow")
    disarmed = None if item.get("armed", True) else "disarmed"
    findings, outcome = len(item.get("problems") or []) or disarmed, last.get("outcome") or last.get("phase")
    return (
        name,
        item.get("ver"),
        item.get("name"),
        last.get("ref"),
        outcome,
        local_time(last.get("created_at")),
        findings,
    )


@flows_command.command("put")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@client_command
def put(remote: Remote, files: tuple[Path, ...]) -> None:
    """Store every flow of the files; the same text again changes nothing."""
    from services.cli.definitions import bodies_of

    answers = []
    for file in files:
        for flow_id, body, kind in bodies_of(file):
            answer = remote.client.send("PUT", path_of("flows", flow_id), body, headers={"Content-Type": kind})
            answers.append(answer.body)
            _say_stored(file, flow_id, answer.status == 201, answer.body or {})
    if remote.output != "table":
        show(answers, remote.output, str)


def _say_stored(file: Path, flow_id: str, new: bool, answer: dict[str, Any]) -> None:
    flow = _summary(answer)
    say(f"{flow_id}@{flow.get('ver', '?')} {'stored' if new else 'is stored already'} ({file})")
    for found in answer.get("problems") or []:
        say(f"{file}:{found.get('line') or ''}: {coloured(str(found.get('level')))}: {found.get('message')}")
