"""A task that spoils what is kept of it spoils its own run only: no file of its own making blocks anybody or fills
the store, and it still comes to its end (RELIABILITY §1, every run reaches the archive; §4, exhaustion)."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from services.agent.log_file import LogFile
from services.agent.plain_file import NoFile, read_plain
from services.agent.service import AgentService
from services.agent.spawner import tree
from services.agent.spawner.capped import CappedLog
from services.agent.taking import end_of
from tests.services.agent.conftest import Make
from tests.services.agent.hub import Hub
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

HERE = "d=$(dirname $(dirname $FLOE_OUTPUT)); "


@pytest.mark.parametrize(
    "spoil",
    [
        'rm -rf "$d"',
        'rm -rf "$d"; ln -s /nowhere "$d"',
        'rm -rf "$d"; touch "$d"',
        'chmod 500 "$d"',
        'mkdir -p "$d/end/x"',
        'mkdir -p "$d/end.new/x"',
        'mkfifo "$d/end.new"',
        'mkfifo "$d/end"',
        'rm "$d/log"; mkfifo "$d/log"; echo more; sleep 0.2',
    ],
)
async def test_an_end_is_told_whatever_became_of_its_directory(agent: AgentService, hub: Hub, spoil: str) -> None:
    await hub.offer("h-1", sh=f"{HERE}{spoil}; exit 7")
    assert (await hub.ended("h-1")).status == 7
    await hub.offer("h-2", sh="echo after")
    await hub.prints(b"after\n", "h-2")


async def test_an_end_is_not_written_through_a_link(agent: AgentService, hub: Hub, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    await hub.offer("h-1", sh=f'{HERE}ln -s {victim} "$d/end.new"; ln -s {victim} "$d/end"')
    await hub.ended("h-1")
    assert victim.read_text() == "as it was"


@pytest.mark.parametrize("put", ["mkfifo", "ln -s {victim}"])
async def test_output_goes_neither_into_a_pipe_nor_through_a_link(
    make_agent: Make, hub: Hub, tmp_path: Path, put: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    await make_agent(log_cap_bytes=64 * 1024).start()
    await hub.offer("h-1", sh=f'{HERE}{put.format(victim=victim)} "$d/tail"; seq 1 100000')
    assert (await hub.ended("h-1")).status == 0
    assert victim.read_text() == "as it was"
    assert b"bytes left out]\n" in hub.log("h-1")


async def test_a_device_in_the_logs_place_is_not_read(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh=f'{HERE}ln -sf /dev/zero "$d/log"; sleep 0.5')
    await hub.ended("h-1")
    assert len(hub.log("h-1")) < 1000


async def test_what_a_task_puts_into_its_log_itself_is_not_streamed(make_agent: Make, hub: Hub) -> None:
    await make_agent(log_cap_bytes=64 * 1024).start()
    await hub.offer("h-1", sh=f'{HERE}echo up; truncate -s 1G "$d/log"; sleep 0.3; echo more; sleep 0.3')
    await hub.prints(b"up\n", "h-1")
    await hub.ended("h-1")
    assert len(hub.log("h-1")) < 1000


async def test_what_a_task_put_into_its_log_is_bounded_when_its_supervisor_died(make_agent: Make, hub: Hub) -> None:
    agent = make_agent(log_cap_bytes=64 * 1024)
    await agent.start()
    await hub.offer("h-1", sh=f'{HERE}truncate -s 1G "$d/log"; echo up; sleep 1000')
    await hub.prints(b"up\n", "h-1")
    os.kill(agent.spawner_pid, signal.SIGKILL)
    await hub.ended("h-1")
    assert len(hub.log("h-1")) < 65 * 1024


async def test_a_task_that_removed_its_log_is_not_started_again_when_its_supervisor_died(
    make_agent: Make, hub: Hub, tmp_path: Path
) -> None:
    """Neither by the agent that handed it over nor by one that only has its journal."""
    ran = tmp_path / "ran"
    script = f'{HERE}echo once >> {ran}; rm -rf "$d"; touch {ran}.$FLOE_RUN; sleep 1000'
    agent = make_agent()
    await agent.start()
    await hub.offer("h-1", sh=script)
    await wait_until(lambda: (tmp_path / "ran.h-1").exists(), what="the first has removed its log")
    os.kill(agent.spawner_pid, signal.SIGKILL)
    assert (await hub.ended("h-1")).error == "the supervisor died"
    await hub.offer("h-2", sh=script)
    await wait_until(lambda: (tmp_path / "ran.h-2").exists(), what="the second has removed its log")
    spawner = agent.spawner_pid
    await agent.stop()
    os.kill(spawner, signal.SIGKILL)
    await make_agent().start()
    assert (await hub.ended("h-2")).error == "the supervisor died"
    assert ran.read_text() == "once\nonce\n"


def test_only_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_plain(tmp_path / "file", 3) == b"tex"
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("directory", NoFile), ("link", NoFile), ("pipe", NoFile), ("missing", FileNotFoundError)):
        with pytest.raises(kind):
            read_plain(tmp_path / name, 3)
        assert LogFile(tmp_path)._from_file(name, 0, 3) == b""


def test_a_log_that_cannot_have_its_tail_counts_what_is_lost(tmp_path: Path) -> None:
    log = CappedLog(str(tmp_path), 8)
    (tmp_path / "tail").symlink_to(tmp_path / "elsewhere")
    log.write(b"0123456789")
    log.close()
    assert (log.layout.head, log.layout.tail, log.layout.lost) == (2, 0, 8)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("said", [b"", b"{", b"[" * 30_000, b"[]", b'{"status":0}', b'"end"', b"\xff"])
def test_an_end_that_the_spawner_did_not_write_is_none(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "end").write_bytes(said)
    assert end_of(tmp_path) is None


def test_a_pipe_in_the_ends_place_is_no_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "end")
    assert end_of(tmp_path) is None


async def test_a_bad_line_on_the_spawners_socket_drops_that_link_only(agent: AgentService, hub: Hub) -> None:
    """The agent, whose link gave way to the stranger's, attaches again; the task goes on."""
    await hub.offer("h-1", sh="echo up; sleep 1000")
    await hub.prints(b"up\n", "h-1")
    spawner, root = agent.spawner_pid, agent._config.root
    for said in (b"no json\n", b"[1]\n", b"{}\n", b'{"do": "start"}\n', b"[" * 100_000 + b"\n", b"\xff\xfe\n"):
        reader, writer = await asyncio.open_unix_connection(root / "spawner.sock")
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()
    assert tree.read(spawner) is not None
    await hub.offer("h-2", sh="echo after")
    await hub.ended("h-2")
    assert agent.spawner_pid == spawner
    assert hub.finished("h-1") is None
