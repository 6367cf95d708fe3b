"""Commands about runs: list, show, read their logs, cancel them, answer their forms, and why some wait."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from services.cli.client import Client, path_of
from services.cli.completion import flow_ids, run_refs
from services.cli.follow import Follower, run_detail
from services.cli.options import Remote, all_items, client_command, parse_pairs, reasons_of, resolve_run
from services.cli.printable import Lines, printable
from services.cli.progress import FINAL, answer_command, form_lines
from services.cli.render import coloured, local_time, show, table, took
from services.cli.watch import follow_log

_FAILED = ("bad", "error")
_LOG_END_LINES, _LOG_END_BYTES = 20, 16 * 1024


@click.command("runs")
@click.option("--flow", metavar="FLOW", shell_complete=flow_ids, help="Only of this flow.")
@click.option("--phase", type=click.Choice(["pending", "active", "archive"]))
@click.option("--outcome", type=click.Choice(["good", "bad", "cancelled"]))
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@client_command
def runs_command(remote: Remote, flow: str | None, phase: str | None, outcome: str | None, limit: int) -> None:
    """The runs, newest first."""
    items = all_items(remote.client, "/runs", limit, flow=flow, phase=phase, outcome=outcome)
    headings = ("RUN", "FLOW", "VER", "PHASE", "OUTCOME", "HOST", "CREATED", "TOOK")
    show(items, remote.output, lambda: table(headings, map(_run_row, items), "no runs"))


def _run_row(run: dict[str, Any]) -> tuple[object, ...]:
    when, lasted = local_time(run.get("created_at")), took(run.get("started_at"), run.get("ended_at"))
    return run["ref"], run["flow"], run["ver"], run["phase"], run.get("outcome"), run.get("host"), when, lasted


@click.command("show")
@click.argument("run", shell_complete=run_refs)
@client_command
def show_command(remote: Remote, run: str) -> None:
    """One run. Of a bad one the first failing node comes first, with its status and the end of its log."""
    detail = run_detail(remote.client, resolve_run(remote.client, run))
    show(detail, remote.output, lambda: _run_page(remote, detail))


def _run_page(remote: Remote, run: dict[str, Any]) -> str:
    parts = [_headline(run)]
    failed = first_failure(run)
    if run.get("outcome") == "bad" and failed is not None:
        parts.append(_failure(remote.client, run, failed))
    parts += [_question(remote, run, node) for node in run.get("nodes", []) if _is_asking(node)]
    headings = ("NODE", "TYPE", "STATUS", "RESULT", "EXIT", "STARTED", "TOOK")
    nodes = [node for node in run.get("nodes", []) if node.get("class") != "trigger"]
    parts.append(table(headings, map(_node_row, nodes)))
    return "\n\n".join(filter(None, parts))


def _is_asking(node: dict[str, Any]) -> bool:
    return node.get("status") == "waiting" and node.get("type") == "data"


def _question(remote: Remote, run: dict[str, Any], node: dict[str, Any]) -> str:
    missing = [str(name) for name in node.get("missing") or []]
    command = answer_command(run["ref"], node["id"], missing) + remote.again
    return "\n".join([f"{node['id']} waits for data", *form_lines(node.get("form"), missing), f"type: {command}"])


def _headline(run: dict[str, Any]) -> str:
    state = coloured(str(run.get("outcome") or run["phase"]))
    host = f" on {run['host']}" if run.get("host") else ""
    reason = f"\n{printable(str(run['reason']))}" if run.get("reason") else ""
    lasted = took(run.get("created_at"), run.get("ended_at"))
    when = local_time(run.get("created_at"))
    return f"{run['ref']}  {run['flow']}@{run['ver']}  {state}{host}  {when}  {lasted}{reason}"


def first_failure(run: dict[str, Any]) -> dict[str, Any] | None:
    """The node that failed first."""
    failed = [node for node in run.get("nodes", []) if node.get("result") in _FAILED or node.get("status") == "lost"]
    tasks = [node for node in failed if node.get("type") != "end"]
    return min(tasks, key=lambda node: str(node.get("stopped_at") or "~"), default=None)


def _failure(client: Client, run: dict[str, Any], node: dict[str, Any]) -> str:
    status, reason = node.get("exit_status"), printable(str(node.get("reason") or ""))
    how = f"exited with status {status}" if status is not None else str(node.get("result") or node.get("status"))
    why = f": {reason}" if reason and reason != how else ""
    lines = [f"    {line}" for line in log_end(client, run["ref"], node)]
    return "\n".join([f"{node['id']} {how}{why}", *lines])


def log_end(client: Client, ref: str, node: dict[str, Any]) -> list[str]:
    """The last lines of a node's log."""
    lines, kept = Lines(), b""
    path = path_of("runs", ref, "nodes", node["id"], "log")
    with client.stream(path, silent_seconds=30, tail=_LOG_END_BYTES) as stream:
        for data in stream.chunks():
            kept = (kept + data)[-_LOG_END_BYTES:]
    return [*lines.feed(kept), *lines.finish()][-_LOG_END_LINES:]


def _node_row(node: dict[str, Any]) -> tuple[object, ...]:
    lasted = took(node.get("started_at"), node.get("stopped_at"))
    status, when = node.get("status"), local_time(node.get("started_at"))
    return node["id"], node.get("type"), status, node.get("result"), node.get("exit_status"), when, lasted


@click.command("logs")
@click.argument("run", shell_complete=run_refs)
@click.argument("node", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until it ends.")
@click.option("--activation", type=int, help="Of a node that was active more than once: which time.")
@click.option("--raw", is_flag=True, help="Every byte as it was printed, control sequences too.")
@client_command
def logs_command(remote: Remote, run: str, node: str | None, follow: bool, activation: int | None, raw: bool) -> None:
    """What a run's tasks printed; of one node alone without its name in front of each line."""
    ref = resolve_run(remote.client, run)
    if node is not None:
        _print(_log(remote.client, ref, node, follow, activation), raw, "")
    elif follow:
        Follower(remote, ref, raw=raw).follow()
    else:
        for item in _in_order_of_start(run_detail(remote.client, ref)):
            _print(_log(remote.client, ref, item, False, None), raw, f"[{item}] ")


def _in_order_of_start(run: dict[str, Any]) -> list[str]:
    begun = [node for node in run.get("nodes", []) if node.get("class") == "task" and node.get("started_at")]
    return [str(node["id"]) for node in sorted(begun, key=lambda node: str(node["started_at"]))]


def _log(client: Client, ref: str, node: str, follow: bool, activation: int | None) -> Iterator[bytes]:
    if follow:
        yield from follow_log(client, ref, node, activation, lambda: _is_done(run_detail(client, ref), node))
        return
    with client.stream(path_of("runs", ref, "nodes", node, "log"), silent_seconds=120, activation=activation) as stream:
        yield from stream.chunks()


def _is_done(run: dict[str, Any], node: str) -> bool:
    states = {str(item["id"]): str(item.get("status")) for item in run.get("nodes", [])}
    return run.get("phase") == "archive" or states.get(node, "idle") in (*FINAL, "idle")


def _print(log: Iterator[bytes], raw: bool, label: str) -> None:
    lines = Lines()
    for data in log:
        if raw:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.writelines(f"{label}{text}\n" for text in lines.feed(data))
        sys.stdout.flush()
    sys.stdout.writelines(f"{label}{text}\n" for text in lines.finish())
    sys.stdout.flush()


@click.command("cancel")
@click.argument("run", shell_complete=run_refs)
@client_command
def cancel_command(remote: Remote, run: str) -> None:
    """End a run: what is queued never starts, what runs is stopped."""
    ref = resolve_run(remote.client, run)
    answer = remote.client.send("POST", path_of("runs", ref, "cancel"))
    show(answer.body or {"ref": ref}, remote.output, lambda: f"{ref} will end")


@click.command("data")
@click.argument("run", shell_complete=run_refs)
@click.argument("node")
@click.argument("values", nargs=-1, metavar="KEY=VALUE...")
@client_command
def data_command(remote: Remote, run: str, node: str, values: tuple[str, ...]) -> None:
    """Answer a node that waits for data. KEY:=JSON gives a number, a list or the like."""
    if not values:
        raise click.UsageError("give at least one KEY=VALUE")
    ref = resolve_run(remote.client, run)
    body = {"values": parse_pairs(values)}
    answer = remote.client.send("POST", path_of("runs", ref, "nodes", node, "data"), body).body or {}
    missing = [str(name) for name in answer.get("missing") or []]
    show(answer, remote.output, lambda: f"still missing: {', '.join(missing)}" if missing else "complete")


@click.command("pends")
@client_command
def pends_command(remote: Remote) -> None:
    """What waits for a host, and every reason why."""
    items = all_items(remote.client, "/pends")
    rows = [(item["ref"], item["flow"], local_time(item.get("since")), "; ".join(reasons_of(item))) for item in items]
    show(items, remote.output, lambda: table(("RUN", "FLOW", "SINCE", "WHY"), rows, "nothing waits"))
