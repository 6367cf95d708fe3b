"""`floe run`: start a run, and on request stay with it until it ends."""

import secrets
import time
from typing import Any, NoReturn

import click

from services.cli import exits
from services.cli.client import Answer, path_of
from services.cli.completion import flow_ids
from services.cli.follow import Follower, run_detail, summary, wait_for_outcome
from services.cli.options import Remote, client_command, parse_pairs
from services.cli.printable import printable
from services.cli.render import out, say, show
from services.cli.runs import first_failure, log_end
from shared.errors import ConfigurationError, Conflict, Unavailable

_ADOPT_SECONDS = 20.0
_ASK_SECONDS = 0.2


@click.command("run")
@click.argument("flow", shell_complete=flow_ids)
@click.option("--opt", "opts", multiple=True, metavar="KEY=VALUE", help="A value for the run; KEY:=JSON for no text.")
@click.option("--ver", type=click.IntRange(1), help="This version instead of the latest.")
@click.option("--trigger", metavar="ID", help="This data trigger, where a flow has several.")
@click.option("-f", "--follow", is_flag=True, help="Show progress and logs until it ends.")
@click.option("--wait", is_flag=True, help="Wait for its end without showing it.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Wait at most S seconds (exit 124)."
)
@click.option("--raw", is_flag=True, help="With --follow: every byte of the logs, control sequences too.")
@client_command
def run_command(
    remote: Remote,
    flow: str,
    opts: tuple[str, ...],
    ver: int | None,
    trigger: str | None,
    follow: bool,
    wait: bool,
    timeout: float | None,
    raw: bool,
) -> None:
    """Start a run of FLOW (ID or ID@VER).

    Without --follow, --wait or --timeout it prints the run's name and leaves. With one of them it exits 0 when the run
    ended good, 1 bad, 3 cancelled, 124 when the time was over (the run goes on).
    """
    deadline = time.monotonic() + timeout if timeout else None
    flow, ver = _split_version(flow, ver)
    body = {"opts": parse_pairs(opts), **({"ver": ver} if ver else {}), **({"trigger": trigger} if trigger else {})}
    started = _start(remote, flow, body, deadline)
    ref = printable(str(started["runs"][0]["ref"]))
    if not (follow or wait or timeout):
        show(started, remote.output, lambda: ref)
        return
    try:
        ended = _follow(remote, ref, raw, deadline) if follow else _wait(remote, ref, deadline)
    except KeyboardInterrupt:
        _left_alone(remote, ref)
    if not ended:
        raise exits.TimedOut(
            f"{ref} did not end in {timeout:g} s and goes on; to end it: floe cancel {ref}{remote.again}"
        )
    _leave_with(remote, ref, shown=follow)


def _split_version(flow: str, ver: int | None) -> tuple[str, int | None]:
    """FLOWS F-05: `id@ver`."""
    name, at, number = flow.partition("@")
    if not at:
        return flow, ver
    if not (number.isascii() and number.isdigit() and int(number) > 0) or ver not in (None, int(number)):
        raise ConfigurationError(f"{flow!r}: a version is a number from 1 on, and is given once: {name}@3 or --ver 3")
    return name, int(number)


def _start(remote: Remote, flow: str, body: dict[str, Any], deadline: float | None) -> dict[str, Any]:
    """Post it, wait until it is adopted. Raises Conflict with the reason when nothing comes of it."""
    key = secrets.token_hex(16)
    answer = _post(remote, flow, body, key)
    started: dict[str, Any] = answer.body
    until = deadline or time.monotonic() + _ADOPT_SECONDS
    while not started.get("runs"):
        if started.get("why") or started.get("state") == "refused":
            raise Conflict(f"no run of {flow}: {started.get('why') or _verdicts(started)}")
        if started.get("state") == "settled":
            raise Conflict(f"no run of {flow}: {_verdicts(started)}")
        if time.monotonic() > until:
            raise exits.TimedOut(
                f"accepted as {started['trigger_id']}, but no hub has taken it up yet; see `floe runs`"
            )
        time.sleep(_ASK_SECONDS)
        trigger_id = started["trigger_id"]
        started = {**remote.client.get(path_of("triggers", trigger_id)), "trigger_id": trigger_id}
        started["runs"] = [run if isinstance(run, dict) else {"ref": run} for run in started.get("runs") or []]
    return started


def _post(remote: Remote, flow: str, body: dict[str, Any], key: str) -> Answer:
    """Safe to repeat when the answer is lost: the key is the same."""
    query: dict[str, str | int | bool | None] = {"wait": "adopted", "timeout": 10}
    path, headers = path_of("flows", flow, "runs"), {"Idempotency-Key": key}
    try:
        return remote.client.send("POST", path, body, query=query, headers=headers)
    except Unavailable as error:
        if "refused" in str(error) or "no such host" in str(error):
            raise
        return remote.client.send("POST", path, body, query=query, headers=headers)


def _verdicts(trigger: dict[str, Any]) -> str:
    said = [str(v.get("why")) for v in trigger.get("verdicts") or [] if isinstance(v, dict) and v.get("why")]
    return "; ".join(said) or "no flow matched"


def _follow(remote: Remote, ref: str, raw: bool, deadline: float | None) -> bool:
    say(f"run {ref}")
    return Follower(remote, ref, raw=raw, deadline=deadline).follow()


def _wait(remote: Remote, ref: str, deadline: float | None) -> bool:
    pause = 0.02
    while run_detail(remote.client, ref)["phase"] != "archive":
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    return True


def _left_alone(remote: Remote, ref: str) -> NoReturn:
    say(f"\n{ref} goes on; to see it: floe logs -f {ref}{remote.again}   to end it: floe cancel {ref}{remote.again}")
    exits.leave(exits.INTERRUPTED)


def _leave_with(remote: Remote, ref: str, *, shown: bool) -> NoReturn:
    detail = wait_for_outcome(lambda: run_detail(remote.client, ref))
    say(summary(detail))
    failed = first_failure(detail)
    if detail.get("outcome") == "bad" and failed is not None:
        say(f"first to fail: {failed['id']}; more: floe show {ref}{remote.again}")
        for line in [] if shown else log_end(remote.client, ref, failed):
            say(f"    {line}")
    if not shown:
        _print_result(remote, detail)
    exits.leave(exits.OUTCOMES.get(str(detail.get("outcome")), exits.BAD))


def _print_result(remote: Remote, detail: dict[str, Any]) -> None:
    if remote.output == "table":
        out(str(detail["ref"]))
    else:
        show(detail, remote.output, str)
