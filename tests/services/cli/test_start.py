"""`floe run`: how a run is started, and what its end makes of the exit code."""

import itertools
from typing import Any

import pytest

from tests.services.cli.conftest import Floe
from tests.services.cli.stand_in import Asked, Said, StandIn, refusal

BRIEF = {"ref": "h1-4", "flow": "build", "ver": 1, "phase": "pending", "outcome": None}
STARTED = {"trigger_id": "t-1", "runs": [BRIEF]}


def ended(outcome: str, **more: Any) -> dict[str, Any]:
    return {**BRIEF, "phase": "archive", "outcome": outcome, "nodes": [], **more}


def test_it_prints_the_runs_name_and_leaves(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said(STARTED, 200))
    ran = floe("run", "build", "--opt", "branch=a=b", "--opt", "n:=3", "--ver", "2", "--trigger", "ask")
    assert (ran.code, ran.out) == (0, "h1-4\n")
    assert api.asked[0].json == {"opts": {"branch": "a=b", "n": 3}, "ver": 2, "trigger": "ask"}
    assert api.asked[0].query["wait"] == "adopted"
    assert api.asked[0].headers["authorization"] == "Bearer t0ken"


def test_a_version_may_stand_behind_the_flow(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said(STARTED))
    assert floe("run", "build@3").code == 0
    assert api.asked[0].json == {"opts": {}, "ver": 3}


def test_a_lost_answer_is_asked_for_again_under_the_same_key(api: StandIn, floe: Floe) -> None:
    answers = iter([refusal(503, "not now"), Said(STARTED)])
    api.on("POST /flows/build/runs", lambda asked: next(answers))
    assert floe("run", "build").out == "h1-4\n"
    assert len({asked.headers["idempotency-key"] for asked in api.asked}) == 1


def test_a_trigger_that_makes_no_run_is_a_conflict(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said({"trigger_id": "t-1", "runs": [], "why": "its flow-file cannot be read"}))
    ran = floe("run", "build")
    assert ran.code == 6
    assert ran.complaint == "no run of build: its flow-file cannot be read"


def test_a_slow_adoption_is_waited_for(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said({"trigger_id": "t-1", "runs": []}, 202))
    states = iter([{"state": "accepted", "runs": [], "verdicts": []}, {"state": "settled", "runs": [BRIEF]}])
    api.on("GET /triggers/t-1", lambda asked: Said(next(states)))
    assert floe("run", "build").out == "h1-4\n"


def test_a_refused_trigger_is_a_conflict(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said({"trigger_id": "t-1", "runs": []}, 202))
    verdict = {"flow": "build", "matched": False, "why": "paused by ada"}
    api.on("GET /triggers/t-1", Said({"state": "settled", "runs": [], "verdicts": [verdict]}))
    assert floe("run", "build").complaint == "no run of build: paused by ada"


@pytest.mark.parametrize(("outcome", "code"), [("good", 0), ("bad", 1), ("cancelled", 3)])
def test_the_exit_code_follows_the_outcome(api: StandIn, floe: Floe, outcome: str, code: int) -> None:
    api.on("POST /flows/build/runs", Said(STARTED))
    details = itertools.chain([BRIEF], itertools.repeat(ended(outcome)))
    api.on("GET /runs/h1-4", lambda asked: Said(next(details)))
    ran = floe("run", "build", "--wait")
    assert (ran.code, ran.out) == (code, "h1-4\n")


def test_a_run_that_takes_too_long_is_left_alone(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said(STARTED))
    api.on("GET /runs/h1-4", Said(BRIEF))
    ran = floe("run", "build", "--timeout", "0.2")
    assert ran.code == 124
    assert ran.complaint == "h1-4 did not end in 0.2 s and goes on; to end it: floe cancel h1-4"


def test_a_bad_end_names_what_failed_first(api: StandIn, floe: Floe) -> None:
    def node(name: str, stopped: str, result: str) -> dict[str, Any]:
        return {
            "id": name,
            "class": "task",
            "type": "exec",
            "status": "finished",
            "result": result,
            "stopped_at": stopped,
        }

    nodes = [node("late", "2030-01-02", "bad"), node("first", "2030-01-01", "bad"), node("fine", "2029-01-01", "good")]
    api.on("POST /flows/build/runs", Said(STARTED))
    api.on("GET /runs/h1-4", Said(ended("bad", nodes=nodes, reason="first: exited with status 3")))
    api.on(
        "GET /runs/h1-4/nodes/first/log", lambda asked: Said(pieces=iter([b"compiling\n", b"\x1b[31mno such file\n"]))
    )
    ran = floe("run", "build", "--wait")
    assert ran.code == 1
    assert "bad" in ran.err
    assert "first to fail: first; more: floe show h1-4" in ran.err
    assert "    no such file\n" in ran.err


def test_hints_repeat_the_server_that_was_given(api: StandIn, floe: Floe) -> None:
    api.on("POST /flows/build/runs", Said(STARTED))
    api.on("GET /runs/h1-4", Said(BRIEF))
    ran = floe("run", "build", "--timeout", "0.1", "--server", api.url, FLOE_SERVER="")
    assert ran.complaint.endswith(f"floe cancel h1-4 --server {api.url}")


def test_an_answer_may_be_json(api: StandIn, floe: Floe) -> None:
    def answer(asked: Asked) -> Said:
        return Said(STARTED)

    api.on("POST /flows/build/runs", answer)
    assert '"trigger_id": "t-1"' in floe("run", "build", "-o", "json").out
    assert "trigger_id: t-1\n" in floe("run", "build", "-o", "yaml").out
