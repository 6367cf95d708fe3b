"""A token given on the command line does not stay readable in the process list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.hide import overwritten, secrets_of_command_line
from tests.services.cli.command import REPOSITORY

SECRET = "s3cret-not-to-be-seen"
LINUX = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
SHOW = """
import os, pathlib, sys
from services.cli import hide
hide.hide([*hide.secrets_of_command_line(sys.argv[1:]), "env-" + sys.argv[-1]], ["FLOE_ADMIN_TOKEN"])
for name in ("cmdline", "environ"):
    sys.stdout.buffer.write(pathlib.Path(f"/proc/{os.getpid()}/{name}").read_bytes())
print(os.environ.get("FLOE_ADMIN_TOKEN"), sys.argv)
"""


@LINUX
@pytest.mark.parametrize("args", [["--admin", SECRET], [f"--admin={SECRET}"], ["--token", SECRET]])
def test_it_is_overwritten_where_others_read(args: list[str]) -> None:
    env = {**os.environ, "FLOE_ADMIN_TOKEN": "env-last", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", SHOW, "up", *args, "--host", "h1", "last"]
    seen = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    shown, python = seen.rpartition("\0")[0], seen.rpartition("\0")[2]
    assert SECRET not in shown
    assert "env-last" not in shown
    assert "\0--host\0h1\0" in shown
    assert "*" * len(SECRET) in shown
    assert python.startswith("None ")
    assert SECRET in python


def test_flags_with_secrets_are_found() -> None:
    assert secrets_of_command_line(["up", "--admin", "a", "--token=b", "--host", "c"]) == ("a", "b")
    assert secrets_of_command_line(["up", "--admin"]) == ()


def test_only_whole_values_are_overwritten() -> None:
    area = b"floe\0up\0--admin\0up\0A=up\0upper\0"
    assert overwritten(area, [b"up"]) == b"floe\0**\0--admin\0**\0A=**\0upper\0"


LOCKED = """
import ctypes, subprocess, sys
from services.cli import hide
hide.hide(["no such secret"])
hide.keep_others_out()
child = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
subprocess.run([sys.executable, "-c", child], check=True)
"""


@LINUX
def test_memory_and_environment_are_closed_to_others_but_not_those_of_tasks() -> None:
    """PR_GET_DUMPABLE: of this process 0, of a program that it starts 1."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    said = subprocess.run([sys.executable, "-c", LOCKED], env=env, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["0", "1"]
