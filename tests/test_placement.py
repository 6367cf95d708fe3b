"""FLOWS D-03 to D-08 on the pure function, row by row, and its invariants over random views."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.placement import AgentRow, ClaimRow, PendRow, PlacementView, claims_of, explain, place
from shared.runs.refs import RunRef

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pend(number: int, flow: str = "f", tags: tuple[str, ...] = (), wants: tuple[str, ...] = (), **more: Any) -> PendRow:
    return PendRow(RunRef(f"h-{number}"), number, flow, NOW, tags, wants, more.pop("reuse_space", False), **more)


def agent(host: str, *tags: str, slots: int = 10, **more: Any) -> AgentRow:
    return AgentRow(host, tags, slots, more.pop("state", "up"), **more)


def claim(key: str, run: str = "h-99", host: str = "a") -> ClaimRow:
    return ClaimRow(key, RunRef(run), host, NOW)


def view(pends: list[PendRow], agents: list[AgentRow], *claims: ClaimRow, ever: tuple[str, ...] = ()) -> PlacementView:
    return PlacementView(NOW, pends, agents, claims, [frozenset(ever)])


def placed(found: PlacementView) -> dict[str, str]:
    return {assignment.ref: assignment.host for assignment in place(found)}


def kinds(found: PlacementView, ref: str) -> list[str]:
    return [reason.kind for reason in explain(found)[RunRef(ref)]]


@pytest.mark.parametrize(
    ("wanted", "host_tags", "match"),
    [
        ([], ["a"], True),
        (["a"], ["a"], True),
        (["a"], ["a", "b"], True),
        (["a", "b"], ["a"], False),
        (["a", "b"], ["b", "a"], True),
        (["a"], [], False),
        ([], [], True),
    ],
)
def test_d03_the_table(wanted: list[str], host_tags: list[str], match: bool) -> None:
    assert bool(place(view([pend(1, tags=tuple(wanted))], [agent("x", *host_tags)]))) is match


@pytest.mark.parametrize("more", [{"state": "away"}, {"state": "lost"}, {"draining": True}, {"used": 10}])
def test_d03_a_candidate_is_alive_not_draining_and_has_a_slot(more: dict[str, Any]) -> None:
    assert not place(view([pend(1)], [agent("x", **more)]))


def test_d04_a_resource_tag_is_exclusive_in_the_cluster() -> None:
    two = [pend(1, wants=("db",)), pend(2, wants=("db",))]
    assert placed(view(two, [agent("x"), agent("y")])) == {"h-1": "x"}
    assert placed(view(two, [agent("x")], claim("tag:db"))) == {}


def test_d04_a_tag_per_host_is_exclusive_there_only() -> None:
    three = [pend(i, wants=("host:gpu",)) for i in (1, 2, 3)]
    assert placed(view(three, [agent("x"), agent("y")])) == {"h-1": "x", "h-2": "y"}


def test_d05_reuse_space_is_one_run_of_a_flow_per_host() -> None:
    two = [pend(1, reuse_space=True), pend(2, reuse_space=True), pend(3, "g", reuse_space=True)]
    assert placed(view(two, [agent("x")])) == {"h-1": "x", "h-3": "x"}
    assert kinds(view([pend(5, reuse_space=True)], [agent("x")], claim("space:x:f")), "h-5") == ["space-held"]


def test_d06_a_blocked_pend_holds_back_nobody_who_wants_none_of_its_tags() -> None:
    pends = [pend(1, wants=("db",)), pend(2, wants=("web",)), pend(3)]
    assert placed(view(pends, [agent("x")], claim("tag:db"))) == {"h-2": "x", "h-3": "x"}


def test_d06_an_older_pend_with_a_live_host_reserves_its_tags() -> None:
    pends = [pend(1, wants=("db", "web")), pend(2, wants=("web",))]
    found = view(pends, [agent("x")], claim("tag:db"))
    assert placed(found) == {}
    assert kinds(found, "h-2") == ["behind"]
    assert explain(found)[RunRef("h-2")][0].run == "h-1"


def test_d06_one_without_a_live_host_reserves_nothing() -> None:
    pends = [pend(1, tags=("mac",), wants=("web",)), pend(2, wants=("web",))]
    assert placed(view(pends, [agent("x")])) == {"h-2": "x"}


def test_d07_the_least_loaded_then_by_name() -> None:
    agents = [agent("b", slots=4, used=2), agent("a", slots=10, used=5), agent("c", slots=2, used=0)]
    pends = [pend(i) for i in range(1, 4)]
    assert placed(view(pends, agents)) == {"h-1": "c", "h-2": "a", "h-3": "b"}


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (view([pend(1, tags=("go",))], [agent("x")], ever=("go",)), ["no-host"], "no live host has tag go"),
        (view([pend(1)], []), ["no-host"], "no live host"),
        (view([pend(1)], [agent("x", used=10)]), ["hosts-full"], "x uses 10 of 10 slots"),
        (view([pend(1)], [agent("x", draining=True)]), ["hosts-full"], "x is draining"),
        (view([pend(1, wants=("db",))], [agent("x")], claim("tag:db")), ["tag-held"], "tag db is held by run h-99 on"),
        (view([pend(1, paused="ann: release")], [agent("x")]), ["paused"], "the flow is paused: ann: release"),
        (view([pend(1, tags=("go",))], [agent("x")]), ["never", "no-host"], "no known host has ever had tag go"),
    ],
)
def test_d08_every_reason_can_be_asked_for(found: PlacementView, kind: list[str], text: str) -> None:
    reasons = explain(found)[RunRef("h-1")]
    assert [reason.kind for reason in reasons] == kind
    assert text in " ".join(reason.text for reason in reasons)


def test_d08_all_reasons_that_hold_not_the_first() -> None:
    found = view([pend(1, tags=("go",), wants=("db",), paused="x")], [agent("x")], claim("tag:db"))
    assert kinds(found, "h-1") == ["paused", "never", "no-host", "tag-held"]


TAGS = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)
WANTS = st.lists(st.sampled_from(["db", "web", "host:gpu"]), max_size=2, unique=True).map(tuple)


@st.composite
def views(draw: st.DrawFn) -> PlacementView:
    pends = [
        pend(i, draw(st.sampled_from("fg")), draw(TAGS), draw(WANTS), reuse_space=draw(st.booleans()))
        for i in range(1, draw(st.integers(1, 12)))
    ]
    agents = [
        agent(
            name, *draw(TAGS), slots=draw(st.integers(0, 3)), used=draw(st.integers(0, 2)), draining=draw(st.booleans())
        )
        for name in draw(st.lists(st.sampled_from("xyz"), unique=True))
    ]
    held = draw(st.lists(st.sampled_from(["tag:db", "tag:web", "host:x:gpu", "space:x:f"]), unique=True))
    return view(pends, agents, *(claim(key) for key in held))


@given(views())
def test_no_claim_is_given_twice_no_host_overfilled_and_nobody_waits_without_a_reason(found: PlacementView) -> None:
    by_ref = {p.ref: p for p in found.pends}
    assignments = place(found)
    keys = [key for a in assignments for key in a.claims] + [c.key for c in found.claims]
    assert len(keys) == len(set(keys))
    for a in found.agents:
        mine = [x for x in assignments if x.host == a.host]
        assert not mine or (a.used + len(mine) <= a.slots and not a.draining)
        assert all(set(by_ref[x.ref].host_tags) <= set(a.tags) for x in mine)
    assert all(x.claims == claims_of(by_ref[x.ref], x.host) for x in assignments)
    reasons = explain(found)
    for ref in by_ref.keys() - {a.ref for a in assignments}:
        assert reasons[ref], f"{ref} waits without a reason"
