"""Starting runs and looking at them."""

import pytest

from tests.services.api.conftest import House

pytestmark = pytest.mark.anyio


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
