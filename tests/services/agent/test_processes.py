"""Every process of a task ends with it, and whatever dies, the end is told (RELIABILITY §1, Supervisor; FLOWS N-05)."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from services.agent.service import AgentService
from services.agent.spawner import tree
from tests.services.agent.conftest import Make
from tests.services.agent.hub import Hub
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

SPREAD = "(setsid sh -c 'trap \"\" HUP; echo two; sleep 1000' &) ; (sleep 1000 &) ; echo up; sleep 1000"


def with_marker(agent: AgentService) -> list[tree.Proc]:
    assert agent._presence is not None
    return tree.marked(f"{agent._presence.installation}:")


async def test_a_stop_ends_every_process_also_those_in_other_sessions(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh=SPREAD)
    await hub.prints(b"up\n", "h-1")
    await hub.prints(b"two\n", "h-1")
    assert len(with_marker(agent)) >= 4
    await hub.ask_to_stop("h-1")
    assert (await hub.ended("h-1")).status == 143
    assert with_marker(agent) == []


UNTIL = "while [ ! -e {file} ]; do sleep 0.02; done"
PLAIN = "env -i setsid /bin/sh -c 'echo $$ > {file}; exec sleep 1000' >/dev/null 2>&1"
HIDING = "env -i setsid /bin/sh -c 'echo $$ > {file}; exec sleep 1000'"


async def hidden(path: Path) -> tree.Proc:
    """The process that wrote its pid there."""
    pid = await wait_until(lambda: path.exists() and path.read_text().strip(), what="the hidden process")
    found = tree.read(int(pid))
    assert found is not None
    return found


async def test_a_process_without_environment_or_session_of_its_task_is_ended_too(
    agent: AgentService, hub: Hub, tmp_path: Path
) -> None:
    """Others run meanwhile; what still gives it away is the output that it holds."""
    await hub.offer("h-2", sh="echo up; sleep 1000")
    await hub.prints(b"up\n", "h-2")
    await hub.offer("h-1", sh=f"({HIDING.format(file=tmp_path / 'pid')} &) ; sleep 1000")
    proc = await hidden(tmp_path / "pid")
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")
    assert tree.read(proc.pid) is None
    assert hub.finished("h-2") is None


async def test_a_process_that_gave_up_everything_is_ended_with_the_only_task(
    agent: AgentService, hub: Hub, tmp_path: Path
) -> None:
    await hub.offer("h-1", sh=f"({HIDING.format(file=tmp_path / 'pid')} >/dev/null 2>&1 &) ; sleep 1000")
    proc = await hidden(tmp_path / "pid")
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")
    assert tree.read(proc.pid) is None


ESCAPING = """
import os, resource, sys, time
for _ in 1, 2:
    if os.fork():
        os._exit(0)
    os.setsid()
os.closerange(0, 100)
if sys.argv[1] != "0":
    resource.setrlimit(10, (int(sys.argv[1]), int(sys.argv[1])))
file = os.open(sys.argv[2] + ".new", os.O_WRONLY | os.O_CREAT)
os.write(file, str(os.getpid()).encode())
os.close(file)
os.rename(sys.argv[2] + ".new", sys.argv[2])
time.sleep(1000)
"""


@pytest.mark.parametrize("limit", [0, 1000], ids=["marked", "took its mark off"])
async def test_what_gave_up_everything_is_gone_when_its_task_is_over_also_while_others_run(
    agent: AgentService, hub: Hub, tmp_path: Path, limit: int
) -> None:
    (tmp_path / "escape.py").write_text(ESCAPING)
    pid, seen = tmp_path / "pid", tmp_path / "seen"
    await hub.offer("h-1", sh=f"({PLAIN.format(file=tmp_path / 'other')} &) ; echo up; sleep 1000")
    other = await hidden(tmp_path / "other")
    await hub.offer("h-2", sh=f"env -i {sys.executable} {tmp_path}/escape.py {limit} {pid}; {UNTIL.format(file=seen)}")
    proc = await hidden(pid)
    seen.touch()
    assert (await hub.ended("h-2")).status == 0
    assert tree.read(proc.pid) is None
    assert tree.read(other.pid) == other
    assert hub.finished("h-1") is None


async def test_what_nobody_owns_is_not_laid_to_a_task_that_began_later(
    agent: AgentService, hub: Hub, tmp_path: Path
) -> None:
    (tmp_path / "escape.py").write_text(ESCAPING)
    await hub.offer("h-1", sh=f"env -i {sys.executable} {tmp_path}/escape.py 1000 {tmp_path}/pid; sleep 1000")
    proc = await hidden(tmp_path / "pid")
    await wait_until(lambda: tree.now() > proc.born, what="the next tick")
    await hub.offer("h-2", sh="true")
    await hub.ended("h-2")
    assert tree.read(proc.pid) == proc
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")
    assert tree.read(proc.pid) is None


async def test_what_ignores_terminate_is_killed_after_the_grace(make_agent: Make, hub: Hub) -> None:
    await make_agent(grace_seconds=0.5).start()
    await hub.offer("h-1", sh="trap '' TERM; echo up; while :; do sleep 0.05; done")
    await hub.prints(b"up\n", "h-1")
    before = time.monotonic()
    await hub.ask_to_stop("h-1")
    assert (await hub.ended("h-1")).status == 137
    assert 0.5 <= time.monotonic() - before < 5


async def test_what_cleans_up_on_terminate_may_do_so(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    await hub.prints(b"up\n", "h-1")
    await hub.ask_to_stop("h-1")
    assert (await hub.ended("h-1")).status == 9
    assert b"bye\n" in hub.log("h-1")


async def test_a_stopped_process_is_ended_too(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="echo up; kill -STOP $$; echo never")
    await hub.prints(b"up\n", "h-1")
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1", seconds=5)


async def test_something_that_forks_as_fast_as_it_can_is_ended(make_agent: Make, hub: Hub) -> None:
    agent = make_agent(grace_seconds=0.2)
    await agent.start()
    one = "sh -c \"trap '' TERM; sleep 100\""
    bomb = f"trap '' TERM; echo up; i=0; while [ $i -lt 400 ]; do {one} & i=$((i+1)); done; wait"
    await hub.offer("h-1", sh=bomb)
    await hub.prints(b"up\n", "h-1")
    await hub.ask_to_stop("h-1")
    assert (await hub.ended("h-1")).status == 137
    assert with_marker(agent) == []


async def test_the_leaders_end_is_the_tasks_end(agent: AgentService, hub: Hub) -> None:
    """What it left in the background is ended first, with grace; its status is the leader's."""
    await hub.offer("h-1", sh="(sleep 1000 &); (setsid sleep 1000 >/dev/null 2>&1 &); echo done; exit 4")
    assert (await hub.ended("h-1", seconds=5)).status == 4
    assert with_marker(agent) == []


async def test_a_dead_spawner_takes_its_tasks_with_it_and_they_are_reported(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh=SPREAD)
    await hub.offer("h-2", sh="exit 0")
    await hub.ended("h-2")
    await hub.prints(b"two\n", "h-1")
    os.kill(agent.spawner_pid, signal.SIGKILL)
    end = await hub.ended("h-1")
    assert (end.status, end.error) == (None, "the supervisor died")
    assert hub.log("h-1").endswith(b"the supervisor died\n")
    assert with_marker(agent) == []
    await hub.offer("h-3", sh="exit 5")
    assert (await hub.ended("h-3")).status == 5


async def test_a_spawner_and_its_guard_killed_leave_nothing(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh=SPREAD)
    await hub.prints(b"two\n", "h-1")
    spawner = tree.read(agent.spawner_pid)
    assert spawner is not None
    os.kill(spawner.ppid, signal.SIGKILL)
    os.kill(spawner.pid, signal.SIGKILL)
    assert (await hub.ended("h-1")).error == "the supervisor died"
    assert with_marker(agent) == []


async def test_tasks_go_on_while_no_agent_is_there(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    first = make_agent()
    await first.start()
    go = tmp_path / "go"
    await hub.offer("h-1", sh=f"echo one; while [ ! -e {go} ]; do sleep 0.02; done; echo two; exit 7")
    await hub.offer("h-2", sh=f"while [ ! -e {go} ]; do sleep 0.02; done; touch {go}.2")
    await hub.prints(b"one\n", "h-1")
    spawner = first.spawner_pid
    await first.stop()
    go.touch()
    await wait_until((tmp_path / "go.2").exists, what="the task to go on")
    second = make_agent()
    await second.start()
    end = await hub.ended("h-1")
    assert end.status == 7
    assert hub.log("h-1").endswith(b"one\ntwo\nexited with status: 7\n")
    assert (await hub.ended("h-2")).status == 0
    assert second.spawner_pid != 0
    await wait_until(lambda: tree.read(spawner) is None or second.spawner_pid == spawner, what="no spawner too many")


async def test_a_running_task_is_taken_up_by_the_next_agent(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    first = make_agent()
    await first.start()
    go = tmp_path / "go"
    await hub.offer("h-1", sh=f"echo one; while [ ! -e {go} ]; do sleep 0.02; done; echo two")
    await hub.prints(b"one\n", "h-1")
    spawner = first.spawner_pid
    await first.stop()
    second = make_agent()
    await second.start()
    assert second.spawner_pid == spawner
    go.touch()
    assert (await hub.ended("h-1")).status == 0
    assert hub.log("h-1").endswith(b"one\ntwo\n")


async def test_an_ephemeral_agent_waits_for_its_tasks(make_agent: Make, hub: Hub) -> None:
    agent = make_agent(ephemeral=True)
    await agent.start()
    await hub.offer("h-1", sh="echo up; sleep 0.3; echo done")
    await hub.prints(b"up\n", "h-1")
    await agent.stop()
    assert (await hub.ended("h-1")).status == 0
    await wait_until(lambda: hub.beats[-1].leaving, what="a last beat")


async def test_an_ephemeral_agent_ends_what_takes_too_long(make_agent: Make, hub: Hub) -> None:
    agent = make_agent(ephemeral=True, drain_seconds=0.2, task_slots=1)
    await agent.start()
    await hub.offer("h-1", 1, sh="echo up; sleep 1000")
    await hub.offer("h-1", 2, sh="echo up; sleep 1000")
    await hub.prints(b"up\n", "h-1", 1)
    await agent.stop()
    assert (await hub.ended("h-1", 1)).status == 143
    assert not (await hub.ended("h-1", 2)).started


async def test_the_agents_own_environment_stays_its_own(
    agent: AgentService, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOE_AMQP_URL", "amqp://user:secret@host/")
    await hub.offer("h-1", sh="env; tr '\\0' '\\n' < /proc/$PPID/environ; ls -l /proc/$$/fd | wc -l; exit 0")
    await hub.ended("h-1")
    assert b"secret" not in hub.log("h-1")


async def test_nothing_leaks_over_many_tasks(agent: AgentService, hub: Hub, tmp_path: Path) -> None:
    async def burst(run: str) -> None:
        for n in range(40):
            await hub.offer(run, n, sh="exit 0")
        for n in range(40):
            await hub.ended(run, n)
        await wait_until(lambda: not agent._work.activations, what="everything settled")  # type: ignore[union-attr]

    await burst("h-1")
    await wait_until(lambda: not os.listdir(tmp_path / "root/tasks"), what="everything cleared away")
    before = open_files(os.getpid()), open_files(agent.spawner_pid)
    for run in ("h-2", "h-3", "h-4"):
        await burst(run)
    await wait_until(
        lambda: (open_files(os.getpid()), open_files(agent.spawner_pid)) == before, what="as many files open as before"
    )
    assert with_marker(agent) == []


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
