"""The `floe` command as users run it: a process with its own streams and exit code."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "services.cli.main")


@dataclass(frozen=True)
class Ran:
    """How it ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of an error; fails when there is more of it, or a trace."""
        lines = self.err.strip().splitlines()
        assert "Traceback" not in self.err, self.err
        assert len(lines) == 1, self.err
        assert lines[0].startswith("floe: ")
        return lines[0].removeprefix("floe: ")


def environment(root: Path, **more: str) -> dict[str, str]:
    """This process's environment without floe's settings, but for the root and what is given."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLOE_")}
    return {**plain, "PYTHONPATH": str(REPOSITORY), "FLOE_ROOT": str(root), **more}


def start(args: tuple[str, ...], env: dict[str, str], cwd: Path) -> "subprocess.Popen[str]":
    """Start it; the caller ends it."""
    return subprocess.Popen(
        [*COMMAND, *args],
        env=env,
        cwd=cwd,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*args: str, env: dict[str, str], cwd: Path, timeout: float = 30) -> Ran:
    """Run it to its end."""
    done = subprocess.run(
        [*COMMAND, *args],
        env=env,
        cwd=cwd,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
