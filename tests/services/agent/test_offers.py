"""An offer becomes one process at most, and exactly one end (ARCHITECTURE §2, Offers)."""

import os
import shutil
from pathlib import Path

import pytest

from services.agent.journal import Journal
from services.agent.records import Accepted
from services.agent.service import AgentService
from services.agent.spawner.server import boot_ms
from shared.bus import messages as m
from shared.errors import ConfigurationError
from tests.services.agent.conftest import Make
from tests.services.agent.hub import Hub
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_an_offer_is_accepted_started_and_finished(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="echo hello; echo key=value >> $FLOE_OUTPUT; sleep 0.05")
    end = await hub.ended("h-1")
    assert hub.kinds("h-1") == ["accepted", "started", "finished"]
    assert (end.status, end.error, end.started, dict(end.opts)) == (0, None, True, {"key": "value"})
    assert hub.log("h-1").endswith(b"\nhello\n")
    assert end.log_length == len(hub.log("h-1"))
    assert end.elapsed_seconds is not None
    assert 0.05 <= end.elapsed_seconds < 5


async def test_a_bad_status_is_reported_with_its_line(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="exit 3")
    assert (await hub.ended("h-1")).status == 3
    assert hub.log("h-1").endswith(b"exited with status: 3\n")


@pytest.mark.parametrize(("number", "status"), [("KILL", 137), ("TERM", 143), ("SEGV", 139)])
async def test_a_signal_is_a_status_over_128(agent: AgentService, hub: Hub, number: str, status: int) -> None:
    await hub.offer("h-1", sh=f"kill -{number} $$")
    assert (await hub.ended("h-1")).status == status


@pytest.mark.parametrize(("command", "status"), [("no-such-command", 127), ("/etc/passwd", 126), ("/no/such", 127)])
async def test_what_cannot_start_is_bad_with_the_reason(
    agent: AgentService, hub: Hub, command: str, status: int
) -> None:
    await hub.offer("h-1", definition={"cmd": command})
    end = await hub.ended("h-1")
    assert (end.status, end.error) == (status, None)
    assert b"cannot start" in hub.log("h-1")


async def test_what_cannot_be_done_as_asked_is_an_error_with_its_reason_last(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", definition={})
    end = await hub.ended("h-1")
    assert (end.status, end.started) == (None, False)
    assert end.error
    assert hub.log("h-1").decode().splitlines()[-1] == end.error


async def test_a_duplicate_offer_is_answered_and_never_started_again(
    agent: AgentService, hub: Hub, tmp_path: Path
) -> None:
    mark = tmp_path / "starts"
    script = f"echo once >> {mark}; sleep 0.2"
    for _ in range(3):
        await hub.offer("h-1", sh=script)
    await hub.ended("h-1")
    await wait_until(lambda: not agent._work.activations, what="everything settled")  # type: ignore[union-attr]
    before = len(hub.reports)
    await hub.offer("h-1", sh=script)
    await wait_until(lambda: len(hub.reports) > before, what="the duplicate answered")
    assert isinstance(hub.reports[-1], m.FinishedReport)
    assert mark.read_text() == "once\n"


async def test_a_stop_for_an_unknown_key_refuses_a_later_offer(agent: AgentService, hub: Hub, tmp_path: Path) -> None:
    await hub.ask_to_stop("h-1")
    end = await hub.ended("h-1")
    assert (end.started, end.status, end.error, end.log_length) == (False, None, None, 0)
    await hub.offer("h-1", sh=f"touch {tmp_path}/ran")
    await hub.offer("h-2")
    await hub.ended("h-2")
    assert hub.kinds("h-1") == ["finished"]
    assert not (tmp_path / "ran").exists()


async def test_a_tombstone_holds_across_a_restart(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    first = make_agent()
    await first.start()
    await hub.ask_to_stop("h-1")
    await hub.ended("h-1")
    await first.stop()
    await make_agent().start()
    await hub.offer("h-1", sh=f"touch {tmp_path}/ran")
    await hub.offer("h-2")
    await hub.ended("h-2")
    assert not (tmp_path / "ran").exists()


async def test_no_more_than_task_slots_run_at_a_time(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    await make_agent(task_slots=4).start()
    script = f"cd {tmp_path}; touch up.$$; ls up.* | wc -l >> seen; sleep 0.05; rm up.$$"
    for n in range(1, 25):
        await hub.offer("h-1", n, sh=script)
    for n in range(1, 25):
        await hub.ended("h-1", n)
    seen = [int(line) for line in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 24
    assert max(seen) <= 4


async def test_a_queued_activation_that_is_stopped_never_starts(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    await make_agent(task_slots=1).start()
    await hub.offer("h-1", 1, sh="echo up; sleep 30")
    await hub.offer("h-1", 2, sh=f"touch {tmp_path}/ran")
    await hub.prints(b"up\n", "h-1", 1)
    await hub.ask_to_stop("h-1", 2)
    end = await hub.ended("h-1", 2)
    assert not end.started
    await hub.ask_to_stop("h-1", 1)
    await hub.ended("h-1", 1)
    assert not (tmp_path / "ran").exists()


async def test_unsettled_reports_are_sent_again_until_they_are_settled(make_agent: Make, hub: Hub) -> None:
    hub.settles = False
    agent = make_agent(resend_seconds=0.2)
    await agent.start()
    await hub.offer("h-1")
    await hub.ended("h-1")
    await wait_until(lambda: len([r for r in hub.reports if isinstance(r, m.FinishedReport)]) >= 2, what="a repeat")
    hub.settles = True
    await wait_until(lambda: not agent._work.activations, what="everything settled")  # type: ignore[union-attr]


async def test_a_settled_activation_leaves_nothing_but_its_workspace(
    agent: AgentService, hub: Hub, tmp_path: Path
) -> None:
    await hub.offer("h-1", sh="mkdir -p deep/er; chmod 500 deep; touch $FLOE_OUTPUT.more")
    await hub.ended("h-1")
    await wait_until(lambda: not os.listdir(tmp_path / "root" / "tasks"), what="the scratch removed")
    assert (tmp_path / "root/spaces/f/ws/h-1/deep/er").is_dir()


async def test_one_agent_per_root(agent: AgentService, make_agent: Make) -> None:
    with pytest.raises(ConfigurationError, match="another agent works in"):
        await make_agent().start()


async def test_a_name_that_could_leave_the_root_is_not_taken(agent: AgentService, hub: Hub) -> None:
    await hub.offer("../h-1")
    await hub.offer("h-1", flow="../f")
    await hub.offer("h-2")
    await hub.ended("h-2")
    assert hub.kinds("../h-1") == hub.kinds("h-1") == []


async def test_an_offer_that_waited_too_long_is_not_taken(agent: AgentService, hub: Hub) -> None:
    offer = await hub.offer("h-1")
    await hub.ended("h-1")
    late = m.TaskOffered(**{**{name: getattr(offer, name) for name in offer.__struct_fields__}, "run": "h-2"})
    agent._take([late], boot_ms() - 5_001)
    await hub.offer("h-3")
    await hub.ended("h-3")
    assert hub.kinds("h-2") == []


async def test_a_start_from_before_the_machines_restart_is_lost(make_agent: Make, hub: Hub, tmp_path: Path) -> None:
    """Whether it was started is not known: what a crash leaves of unsynced files proves nothing."""
    hub.settles = False
    first = make_agent()
    await first.start()
    offer = await hub.offer("h-1")
    await hub.ended("h-1")
    await first.stop()
    shutil.rmtree(tmp_path / "root/journal")
    shutil.rmtree(tmp_path / "root/tasks")
    journal = Journal(tmp_path / "root/journal")
    journal.append([Accepted("h-1/1", 0.0, "another boot", offer)])
    journal.close()
    hub.reports.clear()
    hub.logs.clear()
    hub.settles = True
    await make_agent().start()
    assert (await hub.ended("h-1")).error == "the host was restarted"
