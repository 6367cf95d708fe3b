"""Flows: storing (FLOWS F-05), checking, lists, versions, one flow whole."""

import msgspec
import pytest

from tests.services.api.conftest import BUILD, FLOWS, House

pytestmark = pytest.mark.anyio
YAML = {"Content-Type": "application/yaml"}
NEW = BUILD.replace("name: Build", "id: new\nname: Build")
END = "tasks: [{id: e, type: end, listen: trigger.good}]"


async def test_a_new_definition_is_stored_and_the_same_again_is_not(house: House) -> None:
    first = await house.client.put("/flows/new", content=NEW, headers=YAML)
    assert (first.status_code, first.json()) == (201, {"id": "new", "ver": 1, "stored": True, "problems": []})
    assert first.headers["Location"] == "/api/v1/flows/new?ver=1"
    same = await house.client.put("/flows/new", content=NEW + "\n# a remark\n", headers=YAML)
    assert (same.status_code, same.json()["ver"]) == (200, 1)
    other = await house.client.put("/flows/new", content=NEW.replace("Build", "Other"), headers=YAML)
    assert (other.status_code, other.json()["ver"]) == (201, 2)
    asked = await house.client.put("/flows/new", content="ver: 7\n" + NEW, headers=YAML)
    assert (asked.status_code, asked.json()["ver"]) == (201, 7)
    versions = (await house.client.get("/flows/new/versions?limit=2")).json()
    assert [version["ver"] for version in versions["items"]] == [7, 2]
    rest = (await house.client.get(f"/flows/new/versions?limit=2&cursor={versions['next']}")).json()
    assert [version["ver"] for version in rest["items"]] == [1]


async def test_a_flow_stored_a_moment_ago_can_be_started(house: House) -> None:
    assert (await house.client.post("/flows/new/runs", json={})).status_code == 404
    await house.client.put("/flows/new", content=NEW, headers=YAML)
    started = await house.client.post("/flows/new/runs?wait=adopted", json={})
    assert started.json()["runs"][0]["ver"] == 1
    await house.client.put("/flows/new", content=FLOWS["timed"], headers=YAML)
    assert (await house.client.post("/flows/new/runs", json={})).status_code == 409
    assert (await house.client.post("/flows/new/runs", json={"ver": 1})).status_code == 202


async def test_json_is_a_definition_too(house: House) -> None:
    flow = {
        "id": "made",
        "triggers": [{"type": "data", "id": "start"}],
        "tasks": [{"id": "a", "type": "exec", "listen": "trigger.good", "opts": {"cmd": "make"}}],
    }
    assert (await house.client.put("/flows/made", json=flow)).status_code == 201
    assert (await house.client.get("/flows/made")).json()["flow"]["tasks"][0]["opts"] == {"cmd": "make"}


async def test_a_fatal_finding_refuses_the_flow_with_all_findings(house: House) -> None:
    text = BUILD.replace("type: exec", "type: exce").replace("type: end", "type: edn")
    answer = await house.client.put("/flows/build", content=text, headers=YAML)
    assert answer.status_code == 422
    problems = [found for found in answer.json()["problems"] if found["level"] == "fatal"]
    assert [(found["node"], found["line"], found["hint"]) for found in problems] == [
        ("compile", 5, "exec"),
        ("done", 6, "end"),
    ]
    assert "line 5" in answer.json()["detail"]
    assert (await house.client.get("/flows/build")).json()["flow"]["ver"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"a: [", "not YAML"),
        (b"\xff\xfe", "UTF-8"),
        (b"x: " + b"y" * 2_000_000, "1 MiB"),
        (b"a: &a [1]\n" + b"b: [*a, *a]\n" * 60, "aliases"),
        (b"[" * 30_000, "deep"),
        (b"id: ../x\ntriggers: [{type: data, id: s}]\n", "id"),
        (
            b"id: other\ntriggers: [{type: data, id: s}]\ntasks: [{id: e, type: end, listen: trigger.good}]\n",
            "/flows/other",
        ),
        (b"flows: []\n", "one flow"),
    ],
)
async def test_text_that_is_no_definition_of_this_flow_is_refused(house: House, text: bytes, says: str) -> None:
    answer = await house.client.put("/flows/build", content=text, headers=YAML)
    assert answer.status_code == 422
    assert says in answer.json()["problems"][0]["message"]


async def test_a_definition_of_another_media_type_is_not_read(house: House) -> None:
    answer = await house.client.put("/flows/build", content=b"x", headers={"Content-Type": "image/png"})
    assert answer.status_code == 415


async def test_checking_tells_fatal_findings_and_stores_nothing(house: House) -> None:
    answer = await house.client.post("/flows/validate", content=BUILD.replace("exec", "exce"), headers=YAML)
    assert answer.status_code == 200
    found = answer.json()["problems"]
    assert ("fatal", "compile", "exec") in [(each["level"], each["node"], each["hint"]) for each in found]
    several = (
        "flows:\n  - {id: one, triggers: [{type: data, id: s}], tasks: [{id: e, type: end, listen: trigger.good}]}\n"
    )
    assert (await house.client.post("/flows/validate", content=several, headers=YAML)).json() == {"problems": []}
    assert (await house.client.get("/flows/one")).status_code == 404


async def test_the_contracts_own_examples_are_good_flows(house: House) -> None:
    operation = house.contract.document["paths"]["/api/v1/flows/{flow}"]["put"]
    for kind, content in operation["requestBody"]["content"].items():
        shown = content["example"]
        text = shown if isinstance(shown, str) else msgspec.json.encode(shown)
        answer = await house.client.post("/flows/validate", content=text, headers={"Content-Type": kind})
        assert answer.json() == {"problems": []}


async def test_a_flow_is_shown_with_its_graph_and_runs(house: House) -> None:
    ref = await house.started("pair")
    body = (await house.client.get("/flows/pair")).json()
    assert body["flow"]["id"] == "pair"
    assert [node["class"] for node in body["flow"]["tasks"]] == ["task", "task", "merge", "task"]
    assert body["graph"]["levels"][-1] == ["done"]
    assert [run["ref"] for run in body["runs"]] == [ref]
    assert (await house.client.get("/flows/pair?ver=2")).status_code == 404
    assert (await house.client.get("/flows/nope/versions")).status_code == 404


async def test_flows_are_listed_by_id_with_their_last_run(house: House) -> None:
    await house.started("build")
    last = await house.started("build")
    first = (await house.client.get("/flows?limit=2")).json()
    rest = (await house.client.get(f"/flows?cursor={first['next']}")).json()
    listed = {flow["id"]: flow for page in (first, rest) for flow in page["items"]}
    assert list(listed) == sorted(FLOWS)
    assert [run["ref"] for run in listed["build"]["runs"]] == [last]
    assert listed["build"]["armed"] is True
