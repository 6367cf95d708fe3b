"""Hosts: the list, draining, deleting."""

import pytest

from shared.bus.messages import HostDeleted
from shared.placement import AgentRow
from tests.services.api.conftest import House

pytestmark = pytest.mark.anyio


async def up(house: House, *hosts: str) -> None:
    beats = [AgentRow(host, ("linux",), 4, "up", version="1", installation=f"i-{host}") for host in hosts]
    assert await house.store.beat(beats) == {}


async def test_hosts_are_listed_by_name(house: House) -> None:
    await up(house, "h2", "h1", "h3")
    first = (await house.client.get("/agents?limit=2")).json()
    rest = (await house.client.get(f"/agents?limit=2&cursor={first['next']}")).json()
    assert [agent["host"] for agent in [*first["items"], *rest["items"]]] == ["h1", "h2", "h3"]
    agent = first["items"][0]
    assert (agent["tags"], agent["slots"], agent["load"], agent["state"]) == (["linux"], 4, 0.0, "up")


async def test_a_host_is_drained_and_taken_back(house: House) -> None:
    await up(house, "h1")
    for _ in range(2):
        assert (await house.client.post("/agents/h1/drain")).json()["draining"] is True
    assert (await house.client.post("/agents/h1/resume")).json()["draining"] is False
    assert (await house.client.post("/agents/h9/drain")).status_code == 404


async def test_a_host_that_is_up_is_deleted_only_by_force(house: House) -> None:
    await up(house, "h1")
    assert (await house.client.delete("/agents/h1")).status_code == 409
    assert (await house.client.delete("/agents/h1?force=true")).status_code == 204
    deleted = house.hub.heard[-1]
    assert isinstance(deleted, HostDeleted)
    assert deleted.host == "h1"
    assert (await house.client.get("/agents")).json()["items"] == []
    assert [agent["state"] for agent in (await house.client.get("/agents?deleted=true")).json()["items"]] == ["deleted"]
    assert (await house.client.delete("/agents/h1")).status_code == 404


async def test_a_host_is_deleted_with_the_broker_away(house: House) -> None:
    await up(house, "h1")
    await house.bus.close()
    assert (await house.client.delete("/agents/h1?force=true")).status_code == 204


async def test_a_run_says_that_its_host_is_away(house: House) -> None:
    """FLOWS N-11."""
    await up(house, "h1")
    ref = await house.started("form")
    await house.hub.assign(ref)
    seen, _ = await house.store.agents()
    assert await house.store.set_agent_state("h1", "away", seen)
    run = (await house.client.get(f"/runs/{ref}")).json()
    assert (run["host"], run["host_state"], run["reason"]) == ("h1", "away", "host h1 away")
