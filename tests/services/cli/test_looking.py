"""Commands that look at runs, hosts and flows, and act on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.services.cli.conftest import Floe
from tests.services.cli.stand_in import Said, StandIn

RUN = {
    "ref": "h1-4",
    "flow": "build",
    "ver": 2,
    "phase": "archive",
    "outcome": "bad",
    "reason": "",
    "host": "h1",
    "created_at": "2030-01-01T12:00:00Z",
    "started_at": "2030-01-01T12:00:01Z",
    "ended_at": "2030-01-01T12:01:06Z",
}


def node(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "class": "task", "type": "exec", "status": "finished", "result": "good", **more}


def test_tables_are_not_cut_when_piped(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", {"items": [{**RUN, "flow": "f" * 300}], "next": None})
    heading, row = floe("runs", COLUMNS="40").out.splitlines()
    assert heading.split() == ["RUN", "FLOW", "VER", "PHASE", "OUTCOME", "HOST", "CREATED", "TOOK"]
    assert "f" * 300 in row
    assert "1m 05s" in row
    assert "\x1b" not in row


def test_lists_are_read_to_the_limit(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", {"items": [RUN] * 3, "next": "c"})
    assert len(json.loads(floe("runs", "--limit", "7", "--flow", "build", "-o", "json").out)) >= 7
    assert [asked.query.get("cursor") for asked in api.asked] == [None, "c", "c"]
    assert api.asked[0].query["flow"] == "build"


def test_nothing_is_said_on_stderr(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", {"items": [], "next": None})
    ran = floe("runs")
    assert (ran.out, ran.err) == ("", "no runs\n")


def test_a_bad_run_leads_with_what_failed_first(api: StandIn, floe: Floe) -> None:
    failed = node("test", result="bad", exit_status=3, reason="exited with status 3", stopped_at="2030-01-01T12:01:00Z")
    api.on("GET /runs/h1-4", {**RUN, "nodes": [node("build"), failed]})
    api.on("GET /runs/h1-4/nodes/test/log", lambda asked: Said(pieces=iter([b"FAILED x\x1b[2J\n"])))
    lines = floe("show", "h1-4").out.splitlines()
    assert lines[0].startswith("h1-4  build@2  bad on h1")
    assert lines[2:4] == ["test exited with status 3", "    FAILED x"]
    assert api.asked[1].query == {"tail": "16384"}


def test_a_waiting_run_says_what_to_type(api: StandIn, floe: Floe) -> None:
    form = {"fields": [{"id": "ok", "prompt": "Ship it?", "type": "bool"}]}
    asking = node("sign", type="data", status="waiting", result=None, form=form, missing=["ok"])
    api.on("GET /runs/h1-4", {**RUN, "phase": "active", "outcome": None, "nodes": [asking]})
    out = floe("show", "h1-4").out
    assert "sign waits for data\n  ok: Ship it? (true or false)\ntype: floe data h1-4 sign ok=...\n" in out


def test_last_is_the_newest_run(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", {"items": [RUN], "next": None})
    api.on("POST /runs/h1-4/cancel", Said({"ref": "h1-4"}, 202))
    assert floe("cancel", "last").out == "h1-4 will end\n"


def test_a_pages_url_is_a_run(api: StandIn, floe: Floe) -> None:
    api.on("POST /runs/my-host-4/cancel", Said({"ref": "my-host-4"}, 202))
    assert floe("cancel", f"{api.url}/app/runs/my-host-4?tab=log#end").code == 0


def test_a_page_of_another_server_is_not_mistaken(floe: Floe) -> None:
    ran = floe("cancel", "https://floe.example.org/app/runs/h1-4")
    assert ran.code == 2
    assert "--server https://floe.example.org" in ran.complaint


def test_logs_of_one_node_are_as_they_are(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs/h1-4/nodes/make/log", lambda asked: Said(pieces=iter([b"a\x1b[1mb\n", b"c"])))
    assert floe("logs", "h1-4", "make").out == "ab\nc\n"
    api.on("GET /runs/h1-4", {**RUN, "nodes": [node("make")]})
    followed = floe("logs", "h1-4", "make", "--raw", "-f")
    assert (followed.code, followed.out) == (0, "a\x1b[1mb\nc")
    assert api.asked[1].query == {"offset": "0", "follow": "true"}


def test_logs_of_a_run_name_the_node(api: StandIn, floe: Floe) -> None:
    nodes = [node("b", started_at="2030-01-02"), node("a", started_at="2030-01-01"), node("c", started_at=None)]
    api.on("GET /runs/h1-4", {**RUN, "nodes": nodes})
    for name in ("a", "b"):
        api.on(f"GET /runs/h1-4/nodes/{name}/log", lambda asked: Said(pieces=iter([b"x\n"])))
    assert floe("logs", "h1-4").out == "[a] x\n[b] x\n"


def test_data_says_what_is_still_missing(api: StandIn, floe: Floe) -> None:
    api.on("POST /runs/h1-4/nodes/sign/data", {"missing": ["who"]})
    assert floe("data", "h1-4", "sign", "ok=true", "list:=[1]").out == "still missing: who\n"
    assert api.asked[0].json == {"values": {"ok": "true", "list": [1]}}
    api.on("POST /runs/h1-4/nodes/sign/data", {"missing": []})
    assert floe("data", "h1-4", "sign", "ok=").out == "complete\n"


def test_pends_give_every_reason(api: StandIn, floe: Floe) -> None:
    reasons = [{"kind": "no-host", "text": "no live host has gpu"}, {"kind": "paused", "text": "paused by ada"}]
    api.on("GET /pends", {"items": [{"ref": "h1-4", "flow": "build", "reasons": reasons}]})
    assert "no live host has gpu; paused by ada" in floe("pends").out


@pytest.mark.parametrize(
    ("action", "method", "path"), [("drain", "POST", "/drain"), ("resume", "POST", "/resume"), ("delete", "DELETE", "")]
)
def test_hosts_are_acted_on(api: StandIn, floe: Floe, action: str, method: str, path: str) -> None:
    api.on(f"{method} /agents/h1{path}", Said({"host": "h1"}, 200))
    ran = floe("agents", action, "h1")
    assert ran.code == 0
    assert ran.out.startswith("h1 ")


def test_hosts_are_listed(api: StandIn, floe: Floe) -> None:
    agent = {"host": "h1", "tags": ["linux", "go"], "slots": 10, "used": 2, "state": "up", "draining": True}
    api.on("GET /agents", {"items": [agent], "next": None})
    assert floe("agents").out.splitlines()[1].split()[:4] == ["h1", "draining", "linux,go", "2/10"]


FLOW = "id: a\ntriggers: [{id: t, type: data}]\ntasks: [{id: done, type: end, listen: trigger.good}]\n"


def test_a_file_of_one_flow_is_stored_as_it_is(api: StandIn, floe: Floe, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FLOW)
    api.on("PUT /flows/a", Said({"id": "a", "ver": 3, "stored": True, "problems": []}, 201))
    ran = floe("flows", "put", "a.yaml")
    assert ran.err == "a@3 stored (a.yaml)\n"
    assert api.asked[0].body.decode() == FLOW
    assert api.asked[0].headers["content-type"] == "application/yaml"


def test_a_file_of_several_flows_is_stored_one_by_one(api: StandIn, floe: Floe, tmp_path: Path) -> None:
    entry = "triggers: [{id: t, type: data}], tasks: [{id: done, type: end, listen: trigger.good}]"
    (tmp_path / "both.yaml").write_text(f"flows:\n- {{id: a, {entry}}}\n- {{id: b, {entry}}}\n")
    for name in ("a", "b"):
        api.on(f"PUT /flows/{name}", Said({"id": name, "ver": 1, "problems": []}, 200))
    assert floe("flows", "put", "both.yaml").code == 0
    assert [asked.json["id"] for asked in api.asked] == ["a", "b"]


def test_names_that_come_from_outside_cannot_control_the_terminal(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", {"items": [{**RUN, "host": "h\x1b[2J1\u202e"}], "next": None})
    assert "  h1  " in floe("runs").out


def test_a_log_that_breaks_off_is_taken_up_again(api: StandIn, floe: Floe) -> None:
    pieces = iter(
        [Said(pieces=iter([b"one\ntw"]), cut=True), Said(pieces=iter([b"o\n"])), Said(pieces=iter([b"three\n"]))]
    )
    api.on("GET /runs/h1-4/nodes/make/log", lambda asked: next(pieces))
    states = iter(["running", "finished"])
    api.on(
        "GET /runs/h1-4", lambda asked: Said({**RUN, "phase": "active", "nodes": [node("make", status=next(states))]})
    )
    assert floe("logs", "h1-4", "make", "-f").out == "one\ntwo\nthree\n"
    assert [asked.query["offset"] for asked in api.asked if asked.path.endswith("/log")] == ["0", "6", "8"]
