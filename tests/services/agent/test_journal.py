"""The journal survives being cut at any byte, and knows every key of the last seven days (ARCHITECTURE §2, Offers)."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent import records
from services.agent.journal import KEEP_SECONDS, Journal, JournalUnwritable
from services.agent.records import Accepted, Done, Finished, Stored
from shared.bus.messages import FinishedReport, TaskOffered

AT = datetime(2026, 1, 1, tzinfo=UTC)


def accepted(key: str) -> Accepted:
    run, n = key.split("/")
    offer = TaskOffered(
        id=key, at=AT, run=run, n=int(n), epoch=1, host="h", flow="f", ver=1, node="x", task="exec",
        definition={"shell": "echo 'ü'\n"}, env=["A=1"],
    )  # fmt: skip
    return Accepted(key, 1.5, "boot", offer)


def finished(key: str, status: int = 0) -> Finished:
    run, n = key.split("/")
    report = FinishedReport(id=key, at=AT, run=run, n=int(n), epoch=1, host="h", status=status, opts={"a": [1, None]})
    return Finished(key, report, (5, 0, 10, 0), b"\xff\n")


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([accepted("h-1/1"), accepted("h-1/2"), accepted("h-1/3")], sync=True)
    journal.append([Stored("h-1/1", 7), finished("h-1/2", 4), finished("h-1/3"), Done("h-1/3")])
    journal.close()
    again = Journal(tmp_path)
    assert list(again.live) == ["h-1/1", "h-1/2"]
    assert again.live["h-1/1"].stored == 7
    assert again.live["h-1/1"].accepted == accepted("h-1/1")
    assert again.live["h-1/2"].finished == finished("h-1/2", 4)
    assert again.find("h-1/3") == finished("h-1/3")
    assert again.find("h-1/1") is again.find("h-9/9") is None
    again.close()


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000), junk=st.binary(max_size=30))
def test_a_torn_end_loses_the_last_record_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory)
    lines = [records.encode(accepted(f"h-{i}/1")) for i in range(1, 6)]
    journal.append([accepted(f"h-{i}/1") for i in range(1, 6)])
    journal.close()
    path = directory / "00000001.log"
    data = path.read_bytes()
    cut = cut % (len(data) + 1)
    path.write_bytes(data[:cut] + junk.replace(b"\n", b""))
    again = Journal(directory)
    complete = sum(1 for i in range(5) if sum(map(len, lines[: i + 1])) <= cut)
    assert list(again.live) == [f"h-{i}/1" for i in range(1, complete + 1)]
    again.append([accepted("h-9/1")], sync=True)
    again.close()
    third = Journal(directory)
    assert list(third.live) == [*again.live]
    third.close()


def test_a_line_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([accepted("h-1/1"), accepted("h-2/1")])
    journal.close()
    path = tmp_path / "00000001.log"
    path.write_bytes(path.read_bytes().replace(b"h-1", b"h-3"))
    again = Journal(tmp_path)
    assert list(again.live) == ["h-2/1"]
    again.close()


def test_settled_keys_are_known_across_segments_and_restarts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=4_000)
    for i in range(1, 100):
        journal.append([accepted(f"h-{i}/1")], sync=True)
        journal.append([finished(f"h-{i}/1", i), Done(f"h-{i}/1")])
    assert len(list(tmp_path.iterdir())) > 5
    assert all(journal.find(f"h-{i}/1") == finished(f"h-{i}/1", i) for i in range(1, 100))
    journal.close()
    again = Journal(tmp_path, segment_bytes=4_000)
    assert not again.live
    assert all(again.find(f"h-{i}/1") == finished(f"h-{i}/1", i) for i in range(1, 100))
    again.close()


def test_after_seven_days_only_what_is_unsettled_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=2_000)
    journal.append([accepted("h-1/1"), accepted("h-2/1"), finished("h-2/1"), accepted("h-3/1"), finished("h-3/1")])
    journal.append([Done("h-3/1")])
    for i in range(10, 20):
        journal.append([accepted(f"h-{i}/1"), finished(f"h-{i}/1"), Done(f"h-{i}/1")])
    assert journal.prune() == 0
    assert journal.prune(time.time() + KEEP_SECONDS + 60) > 1
    journal.close()
    again = Journal(tmp_path)
    assert sorted(again.live) == ["h-1/1", "h-2/1"]
    assert again.live["h-2/1"].finished == finished("h-2/1")
    assert again.find("h-3/1") is None
    again.close()


def test_what_the_disk_refuses_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append([accepted("h-1/1")])

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(JournalUnwritable, match="No space left"):
            journal.append([accepted("h-2/1")], sync=True)
    assert list(journal.live) == ["h-1/1"]
    journal.append([accepted("h-3/1")], sync=True)
    journal.close()
    again = Journal(tmp_path)
    assert list(again.live) == ["h-1/1", "h-3/1"]
    again.close()
