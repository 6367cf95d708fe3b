"""A command line that speaks to a stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.services.cli import command
from tests.services.cli.stand_in import StandIn, stand_in


class Floe(Protocol):
    """Runs `floe ARGS` to its end."""

    def __call__(self, *args: str, **env: str) -> command.Ran: ...


@pytest.fixture
def api() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


@pytest.fixture
def floe(api: StandIn, tmp_path: Path) -> Floe:
    def run(*args: str, **env: str) -> command.Ran:
        settings = {"FLOE_SERVER": api.url, "FLOE_TOKEN": "t0ken", **env}
        return command.run(*args, env=command.environment(tmp_path, **settings), cwd=tmp_path)

    return run
