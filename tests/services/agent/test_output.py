"""Logs arrive complete and in order, and no task can fill memory or disk with one (RELIABILITY §4, exhaustion)."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.log_file import LogFile
from services.agent.service import AgentService
from services.agent.spawner.capped import CappedLog
from shared.bus import messages as m
from shared.bus.memory import MemoryBus
from shared.bus.port import BusUnavailable
from tests.services.agent.conftest import Make
from tests.services.agent.hub import Hub
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

MIB = 1 << 20


async def test_any_bytes_and_any_line_length(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="head -c 3000000 /dev/zero; printf '\\xff\\x00\\xfe'; echo err >&2; echo out")
    end = await hub.ended("h-1")
    log = hub.log("h-1")
    assert log.endswith(b"\0" * 3_000_000 + b"\xff\x00\xfeerr\nout\n")
    assert len(log) == end.log_length


async def test_output_is_told_while_the_task_runs(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="echo one; sleep 1000")
    await hub.prints(b"one\n", "h-1")
    assert hub.finished("h-1") is None


async def test_a_script_may_write_to_dev_stderr(agent: AgentService, hub: Hub) -> None:
    """To a file that would mean to truncate it."""
    await hub.offer("h-1", sh="echo one; echo two > /dev/stderr; echo three > /dev/stdout")
    await hub.ended("h-1")
    assert hub.log("h-1").endswith(b"one\ntwo\nthree\n")


async def test_above_the_cap_the_first_quarter_and_the_tail_are_kept(make_agent: Make, hub: Hub) -> None:
    await make_agent(log_cap_bytes=64 * 1024).start()
    await hub.offer("h-1", sh="seq 1 100000")
    end = await hub.ended("h-1")
    log = hub.log("h-1")
    assert len(log) == end.log_length < 66 * 1024
    opening = log[: log.index(b"\n1\n2\n3\n") + 1]
    assert log == expected(opening + "".join(f"{i}\n" for i in range(1, 100001)).encode(), 64 * 1024)


async def test_a_flood_bounds_memory_and_disk(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    """300 MB of it, at full speed."""
    agent = make_agent(log_cap_bytes=8 * MIB)
    await agent.start()
    await hub.offer("h-0")
    await hub.ended("h-0")
    before = resident(os.getpid()), resident(agent.spawner_pid)
    await hub.offer("h-1", sh="head -c 300000000 /dev/zero")
    most = [0, 0, 0]

    def measure() -> bool:
        most[0] = max(most[0], resident(os.getpid()) - before[0])
        most[1] = max(most[1], resident(agent.spawner_pid) - before[1])
        most[2] = max(most[2], disk_used(tmp_path / "root/tasks"))
        return hub.finished("h-1") is not None

    await wait_until(measure, 60, "the end of the flood")
    end = await hub.ended("h-1")
    assert end.log_length < 9 * MIB
    assert most[0] < 48 * MIB
    assert most[1] < 4 * MIB
    assert most[2] < 9 * MIB


async def test_a_flood_does_not_hold_up_others(make_agent: Make, hub: Hub) -> None:
    await make_agent(log_cap_bytes=MIB).start()
    await hub.offer("h-1", sh="cat /dev/zero")
    await wait_until(lambda: hub.log("h-1"), what="the flood")
    await hub.offer("h-2", sh="echo quick")
    await hub.ended("h-2", seconds=5)
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")


class Broker(MemoryBus):
    """May refuse what is kept, and counts it."""

    away, refused = False, 0

    async def publish(self, messages: Sequence[m.Message]) -> None:
        if self.away and any(isinstance(message, m.AgentReport) for message in messages):
            self.refused += 1
            raise BusUnavailable("away")
        await super().publish(messages)


async def test_what_a_broker_did_not_take_is_sent_again(make_agent: Make, hub: Hub) -> None:
    broker = hub.bus
    broker.__class__ = Broker
    assert isinstance(broker, Broker)
    await make_agent(resend_seconds=0.3).start()
    broker.away = True
    await hub.offer("h-1", sh="seq 1 60000; sleep 0.3; echo up; sleep 0.3; exit 2")
    await wait_until(lambda: broker.refused >= 3, what="refusals")
    assert not hub.reports
    broker.away = False
    end = await hub.ended("h-1")
    assert end.status == 2
    assert hub.log("h-1").endswith(b"\n59999\n60000\nup\nexited with status: 2\n")


async def test_output_resumes_where_the_hub_has_it(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    first = make_agent()
    await first.start()
    await hub.offer("h-1", sh="seq 1 200000; echo up; sleep 1000")
    await hub.prints(b"200000\nup\n", "h-1")
    await wait_until(lambda: first._work.activations["h-1/1"].stored >= len(hub.log("h-1")), what="all settled")  # type: ignore[union-attr]
    await first.stop()
    hub.chunks.clear()
    second = make_agent()
    await second.start()
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")
    assert min(chunk.offset for chunk in hub.chunks) > 1_000_000


async def test_unsettled_output_is_sent_again(make_agent: Make, hub: Hub) -> None:
    hub.settles = False
    await make_agent(resend_seconds=0.2).start()
    await hub.offer("h-1", sh="echo up; sleep 1000")
    await wait_until(lambda: len([c for c in hub.chunks if c.offset == 0]) >= 2, what="a repeat")
    hub.settles = True
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")


@settings(max_examples=150, deadline=None)
@given(
    cap=st.integers(8, 400), pieces=st.lists(st.binary(max_size=120), max_size=12), sizes=st.integers(1, 64),
    trailer=st.binary(max_size=20),
)  # fmt: skip
def test_what_is_read_is_what_was_written_but_for_the_marked_gap(
    tmp_path_factory: pytest.TempPathFactory, cap: int, pieces: list[bytes], sizes: int, trailer: bytes
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = CappedLog(str(directory), cap)
    for piece in pieces:
        log.write(piece)
    log.close()
    reader = LogFile(directory)
    reader.seal(log.layout, trailer)
    found = b""
    while data := reader.read(len(found), sizes):
        assert len(data) <= sizes
        found += data
    assert len(found) == reader.length
    assert found == expected(b"".join(pieces), cap) + trailer
    assert disk_used(directory) <= cap


def expected(written: bytes, cap: int) -> bytes:
    head, rest = written[: cap // 4], written[cap // 4 :]
    ring = cap - cap // 4
    if len(rest) <= ring:
        return written
    between = b"" if head.endswith(b"\n") else b"\n"
    return head + between + b"[floe: %d bytes left out]\n" % (len(rest) - ring) + rest[-ring:]


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def disk_used(directory: Path) -> int:
    found = (os.path.join(at, name) for at, _, names in os.walk(directory) for name in names if name in ("log", "tail"))
    return sum(os.stat(path).st_size for path in found)
