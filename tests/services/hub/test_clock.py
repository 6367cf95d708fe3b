"""FLOWS T-04: when timer and cron triggers fire, as arithmetic, and over a restart of the hub."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hub.clock import next_fire, spec_of
from shared.bus.memory import MemoryBus
from shared.flows.model import Node
from shared.store.sqlite import SqliteStore
from tests.runs.flows import flow, task
from tests.services.hub.house import House, make_house
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trigger(kind: str, **opts: object) -> Node:
    return Node("tick", "tick", "trigger", kind, opts=opts)


@pytest.mark.parametrize(
    ("node", "spec"),
    [
        (trigger("timer"), "timer 10"),
        (trigger("timer", period=0.1), "timer 1"),
        (trigger("timer", period="5m"), "timer 300"),
        (trigger("cron", expression="0 3 * * 1-5"), "cron UTC 0 3 * * 1-5"),
        (trigger("cron", expression="0 3 * * *", timezone="Europe/Berlin"), "cron Europe/Berlin 0 3 * * *"),
    ],
)
def test_t04_the_rule_of_a_trigger(node: Node, spec: str) -> None:
    assert spec_of(node) == spec


@given(st.integers(1, 5000), st.floats(0, 10**6))
def test_t04_a_timer_has_a_fixed_rate_and_what_was_missed_is_one_fire(period: int, late: float) -> None:
    now = NOON + timedelta(seconds=late)
    following = next_fire(f"timer {period}", NOON, now)
    assert now < following <= now + timedelta(seconds=period)
    assert (following - NOON) % timedelta(seconds=period) == timedelta(0)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 12 * * *", "UTC", NOON, "2026-03-01T12:30+00:00"),
        ("0 12 * * *", "UTC", NOON, "2026-03-02T12:00+00:00"),
        ("0 3 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), "2026-03-29T01:00+00:00"),
        ("0 3 * * *", "Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), "2026-10-25T02:00+00:00"),
        ("*/15 * * * *", "UTC", NOON + timedelta(minutes=14, seconds=59), "2026-03-01T12:15+00:00"),
    ],
)
def test_t04_cron_in_its_time_zone(expression: str, zone: str, after: datetime, expected: str) -> None:
    found = next_fire(f"cron {zone} {expression}", after, after)
    assert found == datetime.fromisoformat(expected)
    assert found.utcoffset() == timedelta(0)


async def test_t04_a_restart_never_fires_early_and_coalesces_what_was_missed(tmp_path: Path) -> None:
    store, bus = SqliteStore(tmp_path), MemoryBus()
    await store.start(migrate=True)
    await bus.start()
    house = make_house(store, bus)
    await house.put(replace(flow(task("a", "trigger.good")), triggers=(trigger("timer", period=2),)))
    await house.hub.start()

    async def armed() -> datetime | None:
        _, schedules = await store.schedules()
        return schedules[0].next_at if schedules else None

    first = await wait_until(armed, 5, "the trigger is armed")
    await house.hub.stop()

    again = make_house(store, bus)
    await again.hub.start()
    assert await armed() == first, "a restart arms nothing anew"
    await wait_until(house.runs, 6, "the first fire")
    now, _ = await store.schedules()
    assert now >= first
    await again.hub.stop()
    await bus.close()
    await store.close()


async def test_two_hubs_fire_a_schedule_once(house: House) -> None:
    second = make_house(house.store, house.bus)
    await house.put(replace(flow(task("a", "trigger.good")), triggers=(trigger("timer", period=1),)))
    await second.hub.start()
    runs = await house.ended(3)
    assert len({run.row.trigger_id for run in runs}) == len(runs)
    times = sorted(run.row.trigger_id for run in runs)
    assert all(trigger_id.startswith("schedule/f/tick/") for trigger_id in times)
    await second.hub.stop()


async def test_e06_what_comes_in_without_a_run_is_a_trigger_and_with_one_data_for_a_node(house: House) -> None:
    from shared.bus import messages as m

    form = {"fields": [{"id": "x", "required": True}]}
    await house.put(flow(task("d", "trigger.good", "data", opts={"form": form}), task("e", "trigger.good", "data")))
    await house.trigger()

    async def waits() -> bool:
        return any(row.phase == "active" for row in await house.runs())

    await wait_until(waits, 5, "a run waits")
    (row,) = await house.runs()
    given = m.DataProvided(id="d1", at=NOON, run=row.ref, node="d", values={"x": "1"})
    await house.bus.publish([given])
    run = await house.store.run(row.ref)
    assert run is not None
    assert {a.node: a.phase for a in run.activations} == {"d": "done", "e": "waiting"}


async def test_d02_every_run_is_in_exactly_one_of_pending_active_archive(house: House) -> None:
    await house.put(
        flow(task("a", "trigger.good")),
        replace(flow(task("d", "trigger.good", "data")), id="waits"),
        replace(flow(task("a", "trigger.good"), host_tags=("none",)), id="pends"),
    )
    for name in ("f", "waits", "pends"):
        await house.trigger(name, flow=name)
    await house.ended()

    async def phases() -> dict[str, str]:
        found = {row.flow: row.phase for row in await house.runs()}
        return found if found.get("waits") == "active" else {}

    assert await wait_until(phases, 5, "the one that waits is active") == {
        "f": "archive", "waits": "active", "pends": "pending",
    }  # fmt: skip
    by_phase = {phase: len(await house.runs(phase=phase)) for phase in ("pending", "active", "archive")}
    assert by_phase == {"pending": 1, "active": 1, "archive": 1}
