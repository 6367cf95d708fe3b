"""The end of a lease outlives the agent, and nothing else makes a new process believe in one."""

from pathlib import Path

import pytest

from services.agent.lease import Lease


@pytest.mark.parametrize(("boot", "kept"), [("one", 5_000), ("two", None)])
def test_the_next_process_knows_its_end_until_the_machine_restarts(tmp_path: Path, boot: str, kept: int | None) -> None:
    Lease(tmp_path / "lease", "one", lambda: 0).renew(5_000)
    assert Lease(tmp_path / "lease", boot, lambda: 0).until_ms == kept


@pytest.mark.parametrize("text", ["", "one", "one x", "\0"])
def test_without_a_readable_end_it_is_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease").write_text(text)
    assert Lease(tmp_path / "lease", "one", lambda: 0).over


def test_it_is_over_at_its_end_not_before(tmp_path: Path) -> None:
    now = [4_999]
    lease = Lease(tmp_path / "lease", "one", lambda: now[0])
    lease.renew(5_000)
    assert not lease.over
    now[0] = 5_000
    assert lease.over


def test_after_an_interruption_offers_count_once_older_ones_have_expired(tmp_path: Path) -> None:
    now = [0]
    lease = Lease(tmp_path / "lease", "one", lambda: now[0])
    lease.renew(5_000)
    assert lease.trusts_offers
    now[0] = 6_000
    lease.renew(30_000)
    assert not lease.trusts_offers
    now[0] = 16_001
    assert lease.trusts_offers


def test_a_disk_that_refuses_leaves_the_earlier_end(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "gone" / "lease", "one", lambda: 0)
    lease.renew(5_000)
    assert lease.until_ms == 5_000
    assert Lease(tmp_path / "gone" / "lease", "one").until_ms is None
