"""Makes the four locks from pyproject.toml: versions and hashes, no address of any index.

`requirements.lock` comes first; the others are made under it as a constraint, so that all agree.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "requirements.lock"
_OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--strip-extras",
    "--allow-unsafe",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
    "--newline=lf",
]
_EXTRAS = {
    RUNTIME: ["api", "sql", "rabbitmq", "agent"],
    "deploy/agent.lock": ["rabbitmq", "agent"],
    "requirements-dev.lock": ["api", "sql", "rabbitmq", "agent", "dev"],
}


def main(arguments: list[str]) -> int:
    for lock, extras in _EXTRAS.items():
        compile_lock(lock, [*(f"--extra={extra}" for extra in extras), "pyproject.toml"], arguments)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    compile_lock("deploy/build.lock", ["-"], arguments, given="\n".join(build))
    return 0


def compile_lock(lock: str, choice: list[str], arguments: list[str], given: str | None = None) -> None:
    under = [] if lock == RUNTIME else [f"--constraint={RUNTIME}"]
    command = [sys.executable, "-m", "piptools", "compile", *_OPTIONS, *under, *arguments, f"--output-file={lock}"]
    env = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    subprocess.run([*command, *choice], cwd=ROOT, env=env, check=True, input=given, text=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
