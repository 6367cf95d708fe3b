"""When a commit may run in the loop, and how often a transaction is tried again."""

import pytest

from shared.store import retry
from shared.store.port import StoreConflict, StoreUnavailable
from shared.store.sqlite import pace

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    return now


def commit(paced: pace.Pace, clock: list[float], seconds: float) -> bool:
    """Where it ran."""
    if not paced.in_loop:
        return False
    with paced.measured():
        clock[0] += seconds
    return True


def test_a_slow_disk_is_left_to_the_thread_and_tried_now_and_then(clock: list[float]) -> None:
    paced = pace.Pace()
    ran = [commit(paced, clock, 0.02) for _ in range(200)]
    assert ran[:3] == [True] * 3
    assert sum(ran) == 3 + 197 // 50


def test_a_quick_disk_is_waited_for_in_the_loop_in_spite_of_a_slow_commit(clock: list[float]) -> None:
    paced = pace.Pace()
    assert all(commit(paced, clock, 0.02 if n % 3 == 0 else 0.0001) for n in range(200))


def test_a_disk_that_becomes_quick_again_is_noticed(clock: list[float]) -> None:
    paced = pace.Pace()
    for _ in range(10):
        commit(paced, clock, 0.02)
    assert sum(commit(paced, clock, 0.0001) for _ in range(100)) > 50


async def test_a_transaction_is_tried_five_times_on_what_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0)
    tried: list[int] = []

    async def fails(times: int, error: Exception) -> str:
        tried.append(1)
        if len(tried) <= times:
            raise error
        return "done"

    assert await retry.again(lambda: fails(4, StoreConflict("x"))) == "done"
    tried.clear()
    with pytest.raises(StoreUnavailable):
        await retry.again(lambda: fails(5, StoreUnavailable("x")))
    tried.clear()
    with pytest.raises(ValueError, match="wrong"):
        await retry.again(lambda: fails(1, ValueError("wrong")))
    assert len(tried) == 1
