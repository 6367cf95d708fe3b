"""`run --follow` in a pipe: plain lines, in order, whatever happens to the connection."""

import itertools
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.cli import command
from tests.services.cli.conftest import Floe
from tests.services.cli.stand_in import Asked, Said, StandIn, as_sse, event, refusal
from tests.waiting import wait_until_blocking

BRIEF = {"ref": "h1-4", "flow": "build", "ver": 1, "phase": "active", "outcome": None}
NODES = [
    {"id": "start", "class": "trigger", "type": "data"},
    {"id": "make", "class": "task", "type": "exec"},
    {"id": "sign", "class": "task", "type": "data"},
]
EVENTS = [
    event(1, "sys.state", opts={"action": "add-pend"}),
    event(2, "sys.state", opts={"action": "activate", "host": "h1"}),
    event(3, "trigger.good", "start"),
    event(4, "sys.node.start", "make", {"activation": 1, "status": "queued"}),
    event(5, "sys.node.update", "make", {"activation": 1, "status": "running"}),
    event(6, "task.make.good", "make"),
    event(7, "sys.end.all", opts={"outcome": "good", "reason": ""}),
]


@pytest.fixture
def run(api: StandIn) -> StandIn:
    """A run of one task that ends good."""
    api.on("POST /flows/build/runs", {"trigger_id": "t-1", "runs": [BRIEF]})
    first = iter([{**BRIEF, "nodes": NODES}])
    archived = {**BRIEF, "phase": "archive", "outcome": "good", "nodes": NODES}
    api.on("GET /runs/h1-4", lambda asked: Said(next(first, archived)))
    api.on("GET /events", lambda asked: Said(pieces=as_sse(*EVENTS)))
    api.on("GET /runs/h1-4/events", lambda asked: Said(events_after(asked)))
    api.on("GET /runs/h1-4/nodes/make/log", lambda asked: Said(pieces=iter([b"$ make\n", b"all ", b"good\n"])))
    api.on("GET /pends", {"items": [], "next": None})
    return api


def events_after(asked: Asked) -> dict[str, Any]:
    return {"items": [each for each in EVENTS if each["seq"] > int(asked.query["after"])], "next": None}


def said(ran: command.Ran) -> list[str]:
    """The lines of progress without their time."""
    return [line[9:] if line[2:3] == ":" else line for line in ran.err.splitlines()]


def test_logs_go_to_stdout_and_progress_to_stderr(run: StandIn, floe: Floe) -> None:
    ran = floe("run", "build", "--follow")
    assert (ran.code, ran.out) == (0, "[make] $ make\n[make] all good\n")
    assert said(ran)[:5] == ["run h1-4", "waits for a host", "started on h1", "make queued", "make started"]
    assert said(ran)[5] == "make good after 1.0 s"
    assert said(ran)[-1].startswith("h1-4 good")


def test_control_bytes_are_stripped_unless_asked_for(run: StandIn, floe: Floe) -> None:
    evil = b"\x1b]0;title\x07red \x1b[31mred\x1b[0m\xff\x00 50%\r100%\r\n"
    run.on("GET /runs/h1-4/nodes/make/log", lambda asked: Said(pieces=iter([evil[:9], evil[9:]])))
    assert floe("run", "build", "--follow").out == "[make] red red\ufffd 50%\n[make] 100%\n"


def test_a_hole_in_the_stream_is_filled_from_the_log_of_events(run: StandIn, floe: Floe) -> None:
    run.on("GET /events", lambda asked: Said(pieces=as_sse(EVENTS[0], EVENTS[1], EVENTS[6])))
    ran = floe("run", "build", "--follow")
    assert ran.code == 0
    assert ran.out == "[make] $ make\n[make] all good\n"


def test_without_a_stream_events_are_asked_for(run: StandIn, floe: Floe) -> None:
    run.on("GET /events", refusal(503, "too many streams"))
    assert floe("run", "build", "--follow").code == 0


def test_a_stream_that_breaks_is_taken_up_where_it_broke(run: StandIn, floe: Floe) -> None:
    answers = iter([Said(pieces=as_sse(*EVENTS[:4]), cut=True), Said(pieces=as_sse(*EVENTS[4:]))])
    run.on("GET /events", lambda asked: next(answers, Said(pieces=as_sse())))
    logs = iter([Said(pieces=iter([b"$ make\nal"]), cut=True), Said(pieces=iter([b"l good\n"]))])
    run.on("GET /runs/h1-4/nodes/make/log", lambda asked: next(logs))
    ran = floe("run", "build", "--follow")
    assert (ran.code, ran.out) == (0, "[make] $ make\n[make] all good\n")
    resumed = [asked for asked in run.asked if asked.path.endswith("/log")]
    assert [asked.query["offset"] for asked in resumed] == ["0", "9"]
    streams = [asked for asked in run.asked if asked.path.endswith("/api/v1/events")]
    assert streams[1].headers["last-event-id"] == "4"


def test_a_form_comes_with_what_to_type(run: StandIn, floe: Floe) -> None:
    fields = [{"id": "ok", "prompt": "Ship it?", "type": "bool"}, {"id": "to", "options": ["a", "b"]}, {"id": "note"}]
    asks = event(4, "sys.data.required", "sign", {"activation": 1, "missing": ["ok", "to"], "form": {"fields": fields}})
    stream = [*EVENTS[:3], asks, event(5, "sys.end.all", opts={"outcome": "good"})]
    run.on("GET /events", lambda asked: Said(pieces=as_sse(*stream)))
    lines = said(floe("run", "build", "--follow"))
    assert lines[3:7] == [
        "sign waits for data",
        "  ok: Ship it? (true or false)",
        "  to: to (one of a, b)",
        "type: floe data h1-4 sign ok=... to=...",
    ]


def test_a_run_without_a_host_says_why(run: StandIn, floe: Floe) -> None:
    pend = {"ref": "h1-4", "flow": "build", "reasons": [{"kind": "no-host", "text": "no live host has gpu"}]}
    run.on("GET /pends", {"items": [pend], "next": None})
    run.on("GET /events", lambda asked: Said(pieces=endless(EVENTS[0])))
    run.on("GET /runs/h1-4/events", {"items": [], "next": None})
    ran = floe("run", "build", "--follow", "--timeout", "2.5")
    assert ran.code == 124
    assert "waits: no live host has gpu" in said(ran)


def endless(*events: dict[str, Any]) -> Iterator[bytes]:
    """A stream that stays open."""
    import threading

    yield from as_sse(*events)
    for _ in itertools.count():
        threading.Event().wait(0.1)
        yield b": still here\n\n"


def test_an_interrupt_leaves_the_run_alone(run: StandIn, tmp_path: Path) -> None:
    run.on("GET /events", lambda asked: Said(pieces=endless(*EVENTS[:5])))
    run.on("GET /runs/h1-4/events", {"items": [], "next": None})
    env = command.environment(tmp_path, FLOE_SERVER=run.url, FLOE_TOKEN="t")
    process = command.start(("run", "build", "--follow"), env, tmp_path)
    try:
        wait_until_blocking(lambda: any(asked.path.endswith("/log") for asked in run.asked), what="it follows the log")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("h1-4 goes on; to see it: floe logs -f h1-4   to end it: floe cancel h1-4")
    assert not any(asked.path.endswith("/cancel") for asked in run.asked)


def test_on_a_terminal_the_nodes_stand_below_the_output(run: StandIn, tmp_path: Path) -> None:
    env = command.environment(tmp_path, FLOE_SERVER=run.url, FLOE_TOKEN="t", TERM="xterm", COLUMNS="80", LINES="24")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command.COMMAND, "run", "build", "--follow"],
        env=env,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "all good" in shown
    assert "✓ make" in shown
    assert "Traceback" not in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
