"""Shell completion: commands always, names of things when a server answers at once."""

import time
from pathlib import Path

import pytest

from tests.services.cli import command
from tests.services.cli.conftest import Floe
from tests.services.cli.stand_in import Said, StandIn


def complete(line: str, api: StandIn, root: Path, **env: str) -> list[str]:
    words = line.split(" ")
    asked = {"_FLOE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    settings = {"FLOE_SERVER": api.url, "FLOE_TOKEN": "t", **asked, **env}
    ran = command.run(env=command.environment(root, **settings), cwd=root)
    return [item.partition(",")[2] for item in ran.out.split()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(floe: Floe, shell: str) -> None:
    ran = floe("completion", shell)
    assert ran.code == 0
    assert "_FLOE_COMPLETE" in ran.out


def test_commands_are_completed(api: StandIn, tmp_path: Path) -> None:
    assert complete("floe ca", api, tmp_path) == ["cancel"]


def test_flows_runs_and_hosts_are_completed(api: StandIn, tmp_path: Path) -> None:
    api.on("GET /flows", {"items": [{"id": "build"}, {"id": "deploy"}]})
    api.on("GET /runs", {"items": [{"ref": "h1-4"}]})
    api.on("GET /agents", {"items": [{"host": "h1"}]})
    assert complete("floe run bu", api, tmp_path) == ["build"]
    assert complete("floe show h", api, tmp_path) == ["h1-4"]
    assert complete("floe agents drain h", api, tmp_path) == ["h1"]


def test_a_server_that_does_not_answer_costs_little(api: StandIn, tmp_path: Path) -> None:
    def slow(_: object) -> Said:
        time.sleep(4)
        return Said({"items": [{"id": "build"}]})

    api.on("GET /flows", slow)
    began = time.monotonic()
    assert complete("floe run bu", api, tmp_path) == []
    assert time.monotonic() - began < 3.9
    assert complete("floe run bu", api, tmp_path, FLOE_SERVER="http://127.0.0.1:1") == []
