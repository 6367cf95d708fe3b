"""Runs: starting one, the values that are checked, lists, one run whole, cancel, data."""

import httpx
import pytest

from shared.bus.messages import TriggerReceived
from tests.services.api.conftest import House

pytestmark = pytest.mark.anyio


def fields(answer: httpx.Response) -> dict[str, str]:
    """What an answer says is wrong, by place."""
    return {error["loc"]: error["msg"] for error in answer.json()["errors"]}


async def test_a_started_run_is_accepted_and_becomes_a_run(house: House) -> None:
    answer = await house.client.post("/flows/build/runs", json={"opts": {"branch": "main"}})
    assert answer.status_code == 202
    trigger = (await house.client.get(f"/triggers/{answer.json()['trigger_id']}")).json()
    assert trigger["state"] == "settled"
    assert trigger["verdicts"] == [{"flow": "build", "matched": True, "why": "trigger start matched"}]
    run = (await house.client.get(f"/runs/{trigger['runs'][0]['ref']}")).json()
    assert (run["flow"], run["ver"], run["phase"], run["opts"]) == ("build", 1, "pending", {"branch": "main"})
    assert [node["id"] for node in run["nodes"]] == ["start", "compile", "done"]
    assert {node["status"] for node in run["nodes"]} == {"idle"}


async def test_options_that_look_like_instructions_travel_as_data(house: House) -> None:
    opts = {"cmd": "rm -rf /", "env": ["A=b"], "text": "x" * 200_000, "nul": "a\0b"}
    answer = await house.client.post("/flows/build/runs", json={"opts": opts})
    assert answer.status_code == 202
    assert isinstance(house.hub.heard[-1], TriggerReceived)
    assert house.hub.heard[-1].opts == opts


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/flows/biuld/runs", {}, 404, "no flow biuld"),
        ("/flows/a%00b/runs", {}, 404, "no flow"),
        ("/flows/build/runs", {"ver": 7}, 404, "no version 7"),
        ("/flows/timed/runs", {}, 409, "no data trigger"),
        ("/flows/pair/runs", {"trigger": "agian"}, 422, "did you mean again?"),
        ("/flows/pair/runs", {"trigger": "nightly"}, 422, "timer trigger"),
        ("/flows/build/runs", {"opts": [1]}, 422, "opts"),
        ("/flows/build/runs", {"opts": "x"}, 422, "opts"),
        ("/flows/build/runs", {"opt": {}}, 422, "opt"),
        ("/flows/build/runs", {"ver": "1"}, 422, "ver"),
        ("/flows/build/runs?wait=done", {}, 422, "wait"),
        ("/flows/build/runs?wait=ended&timeout=0", {}, 422, "timeout"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(house: House, path: str, body: object, status: int, says: str) -> None:
    answer = await house.client.post(path, json=body)
    assert answer.status_code == status
    assert says in answer.text
    assert not house.hub.heard


async def test_values_are_checked_against_the_triggers_form(house: House) -> None:
    """FLOWS T-03: errors name the field."""
    answer = await house.client.post("/flows/chat/runs", json={"opts": {"n": "many", "size": "xl"}})
    assert answer.status_code == 422
    assert fields(answer) == {
        "opts.n": "must be a number",
        "opts.size": "must be one of s, m",
        "opts.who": "is required",
    }
    assert (await house.client.post("/flows/chat/runs", json={"opts": {"who": "me"}})).status_code == 202


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"opts": {"x": NaN}}', "application/json", 400),
        (b'{"opts": {"x": "\\ud800"}}', "application/json", 400),
        (b'{"opts": ' + b"[" * 100_000, "application/json", 400),
        (b'{"opts": {"x": ' + b"[" * 100 + b"]" * 100 + b"}}", "application/json", 422),
        (b"opts: {}", "application/yaml", 415),
        (b"opts=1", "application/x-www-form-urlencoded", 415),
        (b"", "application/json", 422),
        (b'{"opts": {"x": "' + b"x" * 1_100_000 + b'"}}', "application/json", 413),
    ],
)
async def test_a_body_that_is_no_order_is_refused(house: House, body: bytes, kind: str, status: int) -> None:
    answer = await house.client.post("/flows/build/runs", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert not house.hub.heard


async def test_numbers_that_no_json_reader_agrees_on_are_refused(house: House) -> None:
    answer = await house.client.post("/flows/chat/runs", json={"opts": {"who": "me", "n": "9" * 30}})
    assert answer.status_code == 422


async def test_runs_are_listed_newest_first_by_key(house: House) -> None:
    refs = [await house.started() for _ in range(5)]
    await house.started("pair")
    first = (await house.client.get("/runs?flow=build&limit=2")).json()
    second = (await house.client.get(f"/runs?flow=build&limit=2&cursor={first['next']}")).json()
    third = (await house.client.get(f"/runs?flow=build&limit=2&cursor={second['next']}")).json()
    listed = [run["ref"] for page in (first, second, third) for run in page["items"]]
    assert listed == refs[::-1]
    assert third["next"] is None


async def test_runs_are_filtered(house: House) -> None:
    ref = await house.started()
    other = await house.started("pair")
    await house.client.post(f"/runs/{ref}/cancel")
    for query, found in (
        ("phase=archive", [ref]),
        ("phase=pending", [other]),
        ("outcome=cancelled", [ref]),
        ("outcome=good", []),
        ("host=h9", []),
        ("flow=pair", [other]),
    ):
        assert [run["ref"] for run in (await house.client.get(f"/runs?{query}")).json()["items"]] == found, query


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "phase=gone", "cursor=%21", "flow=%00", "cursor=eA"]
)
async def test_a_list_names_the_parameter_that_does_not_fit(house: House, query: str) -> None:
    answer = await house.client.get(f"/runs?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in fields(answer)


async def test_a_run_shows_every_node_and_its_graph(house: House) -> None:
    ref = await house.started("pair", trigger="again")
    state = await house.hub.assign(ref)
    await house.hub.finish(ref, min(state.open), status=0, log=b"hello")
    run = (await house.client.get(f"/runs/{ref}")).json()
    nodes = {node["id"]: node for node in run["nodes"]}
    assert {name: node["status"] for name, node in nodes.items()} == {
        "start": "idle",
        "again": "finished",
        "nightly": "idle",
        "a": "finished",
        "b": "queued",
        "both": "waiting",
        "done": "idle",
    }
    assert nodes["both"]["waits"] == [{"tag": "task.a.good", "came": True}, {"tag": "task.b.good", "came": False}]
    assert (nodes["a"]["result"], nodes["a"]["exit_status"], nodes["a"]["log_length"]) == ("good", 0, 5)
    assert run["progress"] == {"done": 1, "total": 4}
    assert run["trigger"]["node"] == "again"
    assert run["graph"]["levels"][0] == ["start", "again", "nightly"]
    assert {"from": "a", "to": "both", "tag": "task.a.good"} in run["graph"]["edges"]


async def test_a_waiting_form_is_shown_and_answered(house: House) -> None:
    """FLOWS §6 data: each submission adds to the values; what is required and missing is said."""
    ref = await house.started("form")
    url = f"/runs/{ref}/nodes/sign/data"
    assert (await house.client.post(url, json={"values": {"who": "me"}})).status_code == 409
    await house.hub.assign(ref)
    node = (await house.client.get(f"/runs/{ref}")).json()["nodes"][1]
    assert (node["status"], node["values"], node["missing"]) == ("waiting", {"n": 3}, ["who"])
    assert [field["id"] for field in node["form"]["fields"]] == ["who", "n", "size"]
    assert (await house.client.post(url, json={"values": {"size": "m"}})).json() == {"missing": ["who"]}
    assert (await house.client.post(url, json={"values": {"who": ""}})).json() == {"missing": []}
    run = (await house.client.get(f"/runs/{ref}")).json()
    assert (run["outcome"], run["nodes"][1]["values"]) == ("good", {"who": "", "n": 3, "size": "m"})
    assert (await house.client.post(url, json={"values": {"who": "late"}})).status_code == 409


async def test_data_for_a_node_that_takes_none_is_refused(house: House) -> None:
    ref = await house.started("pair")
    await house.hub.assign(ref)
    assert (await house.client.post(f"/runs/{ref}/nodes/a/data", json={"values": {}})).status_code == 409
    unknown = await house.client.post(f"/runs/{ref}/nodes/bth/data", json={"values": {}})
    assert unknown.status_code == 404
    assert "did you mean both?" in unknown.json()["detail"]


async def test_wrong_data_is_refused_by_field_and_changes_nothing(house: House) -> None:
    ref = await house.started("form")
    await house.hub.assign(ref)
    url = f"/runs/{ref}/nodes/sign/data"
    wrong = await house.client.post(url, json={"values": {"n": "x", "hwo": "y", "who": "me"}})
    assert wrong.status_code == 422
    assert fields(wrong)["values.n"] == "must be a number"
    assert "did you mean who?" in fields(wrong)["values.hwo"]
    assert (await house.client.post(url, json={"values": [1]})).status_code == 422
    assert (await house.client.get(f"/runs/{ref}")).json()["nodes"][1]["values"] == {"n": 3}


async def test_a_run_is_cancelled_once(house: House) -> None:
    ref = await house.started()
    assert (await house.client.post(f"/runs/{ref}/cancel")).status_code == 202
    assert (await house.client.get(f"/runs/{ref}")).json()["outcome"] == "cancelled"
    again = await house.client.post(f"/runs/{ref}/cancel")
    assert again.status_code == 409
    assert "cancelled" in again.json()["detail"]


@pytest.mark.parametrize("ref", ["h1-99", "h2-1", "x", "h1-0", "h1-99999999999999999999", "%00-1", "h1-1%20"])
async def test_an_unknown_run_is_not_found(house: House, ref: str) -> None:
    await house.started()
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("GET", "/nodes/a/log")):
        assert (await house.client.request(method, f"/runs/{ref}{path}")).status_code == 404, path


async def test_events_are_listed_oldest_first(house: House) -> None:
    ref = await house.started()
    await house.hub.assign(ref)
    first = (await house.client.get(f"/runs/{ref}/events?limit=3")).json()
    rest = (await house.client.get(f"/runs/{ref}/events?cursor={first['next']}")).json()
    events = [*first["items"], *rest["items"]]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["opts"]["action"] == "add-pend"
    assert events[0]["id"] == f"{ref}/1"
    after = (await house.client.get(f"/runs/{ref}/events?after=4")).json()
    assert [event["seq"] for event in after["items"]] == [event["seq"] for event in events[4:]]


async def test_what_waits_says_why(house: House) -> None:
    ref = await house.started()
    (pend,) = (await house.client.get("/pends")).json()["items"]
    assert pend["ref"] == ref
    assert pend["reasons"] == [{"kind": "no-host", "text": "no live host"}]
