"""Starts one program: `python -I -S FILE NAME SCRATCH`. Knows where the project is, which `-I` keeps from Python."""

import sys
from importlib import import_module
from pathlib import Path

PROGRAMS = {"fetch": "fetch", "git-checkout": "git_checkout", "git-merge": "git_merge"}

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    report = import_module("services.agent.programs.report")
    program = import_module("services.agent.programs." + PROGRAMS[sys.argv[1]])
    sys.exit(report.run(program.work, Path(sys.argv[2])))
