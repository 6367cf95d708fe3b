"""`?wait`: adopted, ended with the output stored, time that is over first, and words that get lost on the way."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from shared.runs.refs import RunRef
from tests.services.api.conftest import BUILD, CONFIG, House, open_house, read_flow
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def begin(house: House, query: str, **body: object) -> tuple[asyncio.Task[httpx.Response], RunRef]:
    """A start that waits, and the run that it makes."""
    waiting = asyncio.create_task(house.client.post(f"/flows/build/runs?{query}", json=body))

    async def newest() -> RunRef | None:
        runs = (await house.client.get("/runs?limit=1")).json()["items"]
        return RunRef(runs[0]["ref"]) if runs else None

    return waiting, await wait_until(newest, what="the run is adopted")


async def test_an_adopted_run_is_named_at_once(house: House) -> None:
    answer = await house.client.post("/flows/build/runs?wait=adopted", json={})
    assert answer.status_code == 200
    (run,) = answer.json()["runs"]
    assert (run["flow"], run["ver"], run["phase"], run["outcome"]) == ("build", 1, "pending", None)


async def test_an_ended_run_is_told_with_its_outcome(house: House) -> None:
    waiting, ref = await begin(house, "wait=ended")
    await house.hub.assign(ref)
    assert not waiting.done()
    await house.hub.finish(ref, 1, log=b"done\n")
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["runs"] == [{"ref": ref, "flow": "build", "ver": 1, "phase": "archive", "outcome": "good"}]
    assert "log_gaps" not in answer.json()


async def test_live_words_alone_are_enough(tmp_path: Path) -> None:
    """PERFORMANCE rule 1: the usual wait looks nothing up."""
    async with open_house(tmp_path, replace(CONFIG, poll_seconds=60)) as house:
        await house.store.put_flow(read_flow("build", BUILD), source="api")
        waiting, ref = await begin(house, "wait=ended")
        await house.hub.assign(ref)
        await house.hub.finish(ref, 1, log=b"done\n")
        answer = await asyncio.wait_for(waiting, 5)
        assert (answer.status_code, answer.json()["runs"][0]["outcome"]) == (200, "good")


async def test_the_answer_waits_for_announced_output(house: House) -> None:
    waiting, ref = await begin(house, "wait=ended")
    await house.hub.assign(ref)
    await house.hub.finish(ref, 1, announce=5)
    assert (await house.client.get(f"/runs/{ref}")).json()["phase"] == "archive"
    assert not waiting.done()
    await house.hub.print(ref, 1, 0, b"late\n")
    assert "log_gaps" not in (await waiting).json()


async def test_output_that_never_comes_is_marked(house: House) -> None:
    waiting, ref = await begin(house, "wait=ended")
    await house.hub.assign(ref)
    await house.hub.finish(ref, 1, log=b"abc", announce=10)
    answer = await waiting
    assert answer.status_code == 200
    assert answer.json()["log_gaps"] == [{"ref": ref, "activation": 1, "stored": 3, "announced": 10}]


@pytest.mark.parametrize("goal", ["adopted", "ended"])
async def test_without_a_live_word_the_store_is_asked(house: House, goal: str) -> None:
    house.hub.deaf = True
    waiting, ref = await begin(house, f"wait={goal}")
    await house.hub.assign(ref)
    await house.hub.finish(ref, 1, log=b"abc")
    assert (await waiting).json()["runs"][0]["ref"] == ref


async def test_time_that_is_over_first_is_202_with_what_is_known(house: House) -> None:
    answer = await house.client.post("/flows/build/runs?wait=ended&timeout=0.05", json={})
    assert answer.status_code == 202
    assert answer.json()["runs"][0]["phase"] == "pending"


async def test_a_trigger_that_makes_no_run_says_why(house: House) -> None:
    await house.store.pause_flow("build", "maintenance")
    answer = await house.client.post("/flows/build/runs?wait=ended", json={})
    assert answer.status_code == 200
    assert answer.json()["runs"] == []
    assert "paused: maintenance" in answer.json()["why"]


async def test_a_client_that_goes_away_waits_no_longer(house: House) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post("/flows/build/runs?wait=ended", json={}, timeout=0.1)
    live = house.api.app.state.desk.live
    await wait_until(lambda: live.watching == 0, what="nobody waits")


async def test_the_same_key_starts_nothing_again(house: House) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await house.client.post("/flows/build/runs?wait=adopted", json={"opts": {"a": 1}}, headers=headers)
    again = await house.client.post("/flows/build/runs?wait=adopted", json={"opts": {"a": 1}}, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    plain = await house.client.post("/flows/build/runs", json={"opts": {"a": 1}}, headers=headers)
    assert (plain.status_code, plain.json()) == (202, first.json())
    other = await house.client.post("/flows/build/runs", json={"opts": {"a": 2}}, headers=headers)
    assert other.status_code == 422
    assert "another body" in other.json()["detail"]
    elsewhere = await house.client.post("/flows/pair/runs?wait=adopted", json={"opts": {"a": 2}}, headers=headers)
    assert elsewhere.json()["trigger_id"] != first.json()["trigger_id"]
    assert len((await house.client.get("/runs?flow=build")).json()["items"]) == 1


async def test_a_repeated_start_waits_for_the_first_ones_end(house: House) -> None:
    headers = {"Idempotency-Key": "k2"}
    ref = RunRef(
        (await house.client.post("/flows/build/runs?wait=adopted", json={}, headers=headers)).json()["runs"][0]["ref"]
    )
    waiting = asyncio.create_task(house.client.post("/flows/build/runs?wait=ended", json={}, headers=headers))
    await house.hub.assign(ref)
    await house.hub.finish(ref, 1)
    assert (await waiting).json()["runs"] == [
        {"ref": ref, "flow": "build", "ver": 1, "phase": "archive", "outcome": "good"}
    ]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_key_that_cannot_be_one_is_refused(house: House, key: str) -> None:
    answer = await house.client.post("/flows/build/runs", json={}, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


async def test_with_the_broker_away_the_inbox_keeps_the_trigger(house: House) -> None:
    """ARCHITECTURE §1: 202 once the broker or the inbox has it, 503 when neither takes it."""
    await house.bus.close()
    answer = await house.client.post("/flows/build/runs", json={"opts": {"a": 1}})
    assert answer.status_code == 202
    trigger = (await house.client.get(f"/triggers/{answer.json()['trigger_id']}")).json()
    assert (trigger["state"], trigger["flow"], trigger["runs"]) == ("inbox", "build", [])
    (row,) = await house.store.inbox(10)
    assert (row.id, row.opts, row.actor) == (answer.json()["trigger_id"], {"a": 1}, "admin")


async def test_with_both_away_nothing_is_promised(house: House) -> None:
    await house.client.post("/flows/build/runs", json={})
    await house.bus.close()
    await house.store.close()
    answer = await house.client.post("/flows/build/runs", json={})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_waits_above_the_limit_are_turned_away(tmp_path: Path) -> None:
    async with open_house(tmp_path, replace(CONFIG, most_streams=1)) as house:
        await house.store.put_flow(read_flow("build", BUILD), source="api")
        waiting, ref = await begin(house, "wait=ended")
        refused = await house.client.post("/flows/build/runs?wait=ended", json={})
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert (await house.client.get(f"/runs/{ref}/nodes/compile/log?follow=true")).status_code == 200  # idle
        assert (await house.client.get(f"/events?run={ref}")).status_code == 503
        await house.client.post(f"/runs/{ref}/cancel")
        assert (await waiting).json()["runs"][0]["outcome"] == "cancelled"


async def test_a_broadcast_is_taken_and_no_flow_is_refused(house: House) -> None:
    """FLOWS T-02."""
    nothing = await house.client.post("/triggers/data", json={"opts": {}})
    assert nothing.status_code == 400
    assert (await house.client.post("/triggers/data", json={"broadcast": True, "ver": 1})).status_code == 400
    assert (await house.client.post("/triggers/data", json={"broadcast": True, "opts": {"a": 1}})).status_code == 202
    named = await house.client.post("/triggers/data", json={"flow": "build"})
    assert (await house.client.get(f"/triggers/{named.json()['trigger_id']}")).json()["runs"][0]["flow"] == "build"
    assert (await house.client.post("/triggers/data", json={"flow": "nope"})).status_code == 404
    for unknown in ("t-unknown", "schedule/build/nightly/2026-01-01T00:00:00Z"):
        assert (await house.client.get(f"/triggers/{unknown}")).status_code == 404
