"""What goes wrong ends with the exit code of API.md and one line that says what to do."""

import pytest

from services.cli.options import is_this_machine
from tests.services.cli.conftest import Floe
from tests.services.cli.stand_in import Said, StandIn, refusal


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (401, 4), (403, 4), (404, 5), (409, 6), (413, 2), (422, 2), (500, 8), (503, 8)]
)
def test_a_refusal_has_its_exit_code(api: StandIn, floe: Floe, status: int, code: int) -> None:
    api.on("POST /runs/h1-4/cancel", refusal(status, "That is not possible"))
    ran = floe("cancel", "h1-4")
    assert ran.code == code
    assert "That is not possible" in ran.complaint


def test_a_wrong_token_is_named_by_where_it_is_from(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", refusal(401, "This token is not known here"))
    assert "from FLOE_TOKEN" in floe("runs").complaint
    assert "from --token" in floe("runs", "--token", "x").complaint


def test_a_field_is_named(api: StandIn, floe: Floe) -> None:
    api.on(
        "POST /flows/build/runs", refusal(422, "It does not fit", errors=[{"loc": ["opts", "n"], "msg": "a number"}])
    )
    assert floe("run", "build", "--opt", "n=x").complaint == "It does not fit: opts.n: a number"


def test_a_failure_of_the_server_names_what_its_log_has(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", refusal(500, "Something broke", id="e-17"))
    assert "e-17" in floe("runs").complaint


def test_nobody_there(floe: Floe) -> None:
    ran = floe("runs", FLOE_SERVER="http://127.0.0.1:1")
    assert ran.code == 8
    assert ran.complaint.startswith("cannot reach http://127.0.0.1:1: connection refused; is floe running there?")


@pytest.mark.parametrize("server", ["ftp://x", "http://x:99999", "http://", "http://x:y"])
def test_an_address_that_is_none(floe: Floe, server: str) -> None:
    ran = floe("runs", "--server", server)
    assert ran.code == 2
    assert "--server" in ran.complaint


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("run",),
        ("run", "build", "--opt", "novalue"),
        ("run", "build", "--timeout", "soon"),
        ("run", "build@x"),
        ("runs", "--phase", "sleeping"),
        ("show", "not/a/ref"),
        ("data", "h1-4", "form"),
        ("data", "h1-4", "form", "n:={"),
        ("graph", "gone.yaml"),
        ("validate", "gone.yaml"),
        ("up", "--slots", "many"),
        ("up", "--conf", "gone.yaml"),
        ("hub",),
        ("agent",),
        ("api",),
    ],
)
def test_wrong_use_is_code_2(floe: Floe, args: tuple[str, ...]) -> None:
    ran = floe(*args)
    assert ran.code == 2
    assert ran.complaint
    assert ran.out == ""


def test_a_slip_of_the_pen_is_recognised(floe: Floe) -> None:
    assert "did you mean cancel?" in floe("cancle", "last").complaint


def test_an_answer_that_makes_no_sense_is_no_trace(api: StandIn, floe: Floe) -> None:
    api.on("GET /runs", Said({"what": "ever"}))
    ran = floe("runs")
    assert ran.code == 1
    assert "FLOE_DEBUG=1" in ran.complaint
    assert "Traceback" in floe("runs", FLOE_DEBUG="1").err


def test_a_long_list_is_read_page_by_page(api: StandIn, floe: Floe) -> None:
    item = {"ref": "h1-4", "flow": "f" * 60, "ver": 1, "phase": "archive"}
    api.on("GET /runs", {"items": [item] * 200, "next": "more"})
    ran = floe("runs", "--limit", "5000")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 5001


def test_the_token_kept_in_root_is_not_sent_elsewhere() -> None:
    assert is_this_machine("http://127.0.0.1:8080")
    assert is_this_machine("localhost:8080")
    assert is_this_machine("http://[::1]:8080")
    assert not is_this_machine("https://floe.example.org")
    assert not is_this_machine("http://127.0.0.1.example.org")


NASTY = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_a_server_says_cannot_steer_the_terminal(api: StandIn, floe: Floe, status: int) -> None:
    api.on("GET /runs", refusal(status, f"{NASTY}words", id=NASTY, errors=[{"loc": [NASTY], "msg": f"{NASTY}field"}]))
    ran = floe("runs")
    assert "words" in ran.complaint
    assert not any(char in ran.out + ran.err for char in "\x1b\x07\x9b\u202e")


def test_lists_in_tables_cannot_steer_the_terminal_either(api: StandIn, floe: Floe) -> None:
    api.on("GET /agents", Said({"items": [{"host": "h1", "tags": [f"{NASTY}linux", "go"]}], "next": None}))
    ran = floe("agents")
    assert "linux,go" in ran.out
    assert not any(char in ran.out for char in "\x1b\x07\x9b\u202e")
