"""Where tasks work (FLOWS D-09)."""

import os
import stat
import sys
from pathlib import Path

import pytest

from services.agent.service import AgentService
from services.agent.workspace import Workspaces
from tests.services.agent.conftest import Make
from tests.services.agent.hub import Hub

pytestmark = pytest.mark.anyio


async def test_d09_a_runs_activations_share_a_private_workspace(agent: AgentService, hub: Hub, tmp_path: Path) -> None:
    await hub.offer("h-1", 1, sh="echo one > a")
    await hub.ended("h-1", 1)
    await hub.offer("h-1", 2, sh="cat a")
    await hub.ended("h-1", 2)
    assert hub.log("h-1", 2).endswith(b"one\n")
    where = tmp_path / "root/spaces/f/ws/h-1"
    assert stat.S_IMODE(os.stat(where).st_mode) == 0o700


async def test_d09_a_reused_workspace_is_emptied_once_per_run(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", 1, sh="mkdir -p x/y; chmod 500 x; echo one > a", reuse_space=True)
    await hub.ended("h-1", 1)
    await hub.offer("h-2", 1, sh="ls | wc -l; echo two > a", reuse_space=True)
    await hub.ended("h-2", 1)
    assert hub.log("h-2", 1).endswith(b"\n0\n")
    await hub.offer("h-2", 2, sh="cat a", reuse_space=True)
    await hub.ended("h-2", 2)
    assert hub.log("h-2", 2).endswith(b"two\n")


async def test_d09_a_kept_workspace_is_not_emptied(agent: AgentService, hub: Hub) -> None:
    await hub.offer("h-1", sh="echo one > a", reuse_space=True, keep_space=True)
    await hub.ended("h-1")
    await hub.offer("h-2", sh="cat a", reuse_space=True, keep_space=True)
    await hub.ended("h-2")
    assert hub.log("h-2").endswith(b"one\n")


async def test_many_first_activations_empty_it_once(make_agent: Make, hub: Hub) -> None:
    await make_agent().start()
    await hub.offer("h-1", sh="echo one > a", reuse_space=True)
    await hub.ended("h-1")
    for n in range(1, 9):
        await hub.offer("h-2", n, sh=f"touch b{n}", reuse_space=True)
    for n in range(1, 9):
        await hub.ended("h-2", n)
    await hub.offer("h-2", 9, sh="ls", reuse_space=True)
    await hub.ended("h-2", 9)
    assert hub.log("h-2", 9).endswith("".join(f"b{n}\n" for n in range(1, 9)).encode())


async def test_d09_old_workspaces_are_removed_but_those_in_use(tmp_path: Path) -> None:
    for flow, numbers in (("f", range(1, 7)), ("g", range(7, 9))):
        for n in numbers:
            made = tmp_path / f"spaces/{flow}/ws/h-{n}"
            made.mkdir(parents=True)
            (made / "file").touch()
            os.utime(made, (n, n))
        (tmp_path / f"spaces/{flow}/ws/single").mkdir()
    spaces = Workspaces(tmp_path, 2, lambda: ["h-1"])
    await spaces.look()
    assert spaces.surplus() == ["h-2", "h-3", "h-4"]
    await spaces.remove_ended(["h-1", "h-2", "h-3", "h-6"])
    assert spaces.surplus() == ["h-4"], "a run that has not ended keeps its workspace"
    for flow in ("f", "g"):
        left = sorted(os.listdir(tmp_path / f"spaces/{flow}/ws"))
        assert left == {"f": ["h-1", "h-4", "h-5", "h-6", "single"], "g": ["h-7", "h-8", "single"]}[flow]
    keeps_all = Workspaces(tmp_path, 0, lambda: [])
    await keeps_all.look()
    assert keeps_all.surplus() == []


INSTEAD = ["ln -s {kept}", "ln -s /nowhere", "touch", "mkfifo"]


@pytest.mark.parametrize("put", INSTEAD)
async def test_what_a_task_puts_in_the_place_of_a_reused_workspace_goes(
    agent: AgentService, hub: Hub, tmp_path: Path, put: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    kept.chmod(0o755)
    for run in ("h-1", "h-2", "h-3"):
        script = f'ls; cd /; rm -rf "$FLOEWS"; {put.format(kept=kept)} "$FLOEWS"'
        await hub.offer(run, sh=script, reuse_space=True, keep_space=run == "h-3")
        end = await hub.ended(run)
        assert (end.status, end.error) == (0, None)
        assert b"file\n" not in hub.log(run)
    assert os.listdir(kept) == ["file"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755


@pytest.mark.parametrize("put", INSTEAD)
async def test_no_later_task_works_in_what_is_no_workspace_any_more(
    agent: AgentService, hub: Hub, tmp_path: Path, put: str
) -> None:
    (tmp_path / "kept").mkdir()
    script = f'cd /; rm -rf "$FLOEWS"; {put.format(kept=tmp_path / "kept")} "$FLOEWS"'
    await hub.offer("h-1", 1, sh=script)
    await hub.ended("h-1", 1)
    await hub.offer("h-1", 2, sh="touch here")
    assert "is no directory any more" in str((await hub.ended("h-1", 2)).error)
    assert os.listdir(tmp_path / "kept") == []


async def test_a_workspace_deeper_than_any_path_is_emptied(agent: AgentService, hub: Hub) -> None:
    dig = "import os\nfor _ in range(1500): os.mkdir('directory'); os.chdir('directory')"
    await hub.offer("h-1", definition={"cmd": sys.executable, "args": ["-c", dig]}, reuse_space=True)
    assert (await hub.ended("h-1")).status == 0
    await hub.offer("h-2", sh="ls | wc -l", reuse_space=True)
    await hub.ended("h-2")
    assert hub.log("h-2").endswith(b"\n0\n")


async def test_only_workspaces_are_surplus_and_no_link_leads_out(tmp_path: Path) -> None:
    (tmp_path / "kept/h-1").mkdir(parents=True)
    (tmp_path / "spaces/f").mkdir(parents=True)
    (tmp_path / "spaces/f/ws").symlink_to(tmp_path / "kept")
    (tmp_path / "spaces/g/ws/h-2").mkdir(parents=True)
    (tmp_path / "spaces/g/ws/h-3").mkdir()
    spaces = Workspaces(tmp_path, 1, lambda: [])
    await spaces.look()
    assert len(spaces.surplus()) == 1
    await spaces.remove_ended(["h-1", "h-2", "h-3"])
    assert os.listdir(tmp_path / "kept") == ["h-1"]
