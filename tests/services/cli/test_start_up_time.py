"""Commands load what they need and nothing else: `floe --help` and client commands start fast, an agent stays lean."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.cli.command import REPOSITORY, environment

WEB_AND_DATABASE = {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "asyncpg", "sqlite3"}
SERVICES = {*WEB_AND_DATABASE, "aio_pika", "aiormq", "structlog", "uvloop", "asyncio"}
LOADED = """
import sys
from services.cli import main
try:
    main.main({args!r})
except SystemExit:
    pass
finally:
    print("LOADED", *sorted(sys.modules))
"""
AGENT = """
import sys
from services.cli import process, serve
from services.cli.main import Assembly
from shared.settings import read_settings
settings = read_settings({"root": sys.argv[1]}, {"FLOE_AMQP_URL": "amqp://h"})
Assembly().services("agent", settings, Assembly().bus(settings, "agent"), None)
print("LOADED", *sorted(sys.modules))
"""


def loaded(code: str, root: Path, *args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=environment(root), cwd=REPOSITORY, capture_output=True, text=True
    )
    names = done.stdout.partition("LOADED ")[2].split()
    assert names, done.stderr
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["runs", "--server", "http://127.0.0.1:1"], ["run", "--help"]]
)
def test_client_commands_load_no_service(tmp_path: Path, args: list[str]) -> None:
    assert not loaded(LOADED.format(args=args), tmp_path) & SERVICES


def test_help_loads_no_command(tmp_path: Path) -> None:
    assert not loaded(LOADED.format(args=["--help"]), tmp_path) & {"http", "json", "yaml", "rich", "ssl"}


def test_an_agent_loads_no_database_and_no_web_framework(tmp_path: Path) -> None:
    assert not loaded(AGENT, tmp_path, str(tmp_path)) & WEB_AND_DATABASE
