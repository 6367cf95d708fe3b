"""Checks, without a network, that the locks fit pyproject.toml: pinned, hashed, agreeing, and without an address."""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "requirements.lock"
# Which of pyproject's lists each lock holds; "" is [project] dependencies.
_HOLDS = {
    RUNTIME: ["", "api", "sql", "rabbitmq", "agent"],
    "deploy/agent.lock": ["", "rabbitmq", "agent"],
    "requirements-dev.lock": ["", "api", "sql", "rabbitmq", "agent", "dev"],
    "deploy/build.lock": ["build"],
}
_ADDRESS = re.compile(r"\w+://|file:[./]|--(extra-)?index|--find-links|--trusted-host| @ ", re.IGNORECASE)
_NOT_FOR_AGENTS = {"alembic", "asyncpg", "fastapi", "sqlalchemy", "starlette", "uvicorn"}

Pins = dict[str, str]


def main() -> int:
    wanted = read_project(ROOT / "pyproject.toml")
    problems: list[str] = []
    locks: dict[str, Pins] = {}
    for name in _HOLDS:
        text = (ROOT / name).read_text()
        locks[name] = read_pins(text)
        problems += [f"{name}: {problem}" for problem in problems_of(text, locks[name])]
    for name, lists in _HOLDS.items():
        problems += [f"{name}: {missing}" for key in lists for missing in unmet(wanted[key], locks[name])]
        problems += [f"{name}: {other}" for other in disagreeing(locks[name], locks[RUNTIME])]
    problems += [
        f"deploy/agent.lock: agents carry no {bad}" for bad in _NOT_FOR_AGENTS & set(locks["deploy/agent.lock"])
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("locks: mend with `make lock`", file=sys.stderr)
    return 1 if problems else 0


def read_project(path: Path) -> dict[str, list[Requirement]]:
    project = tomllib.loads(path.read_text())
    lists = {"": project["project"]["dependencies"], "build": project["build-system"]["requires"]}
    lists |= project["project"]["optional-dependencies"]
    return {name: [Requirement(line) for line in lines] for name, lines in lists.items()}


def read_pins(text: str) -> Pins:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def problems_of(text: str, pins: Pins) -> list[str]:
    found = [f"names an address: {line.strip()}" for line in text.splitlines() if _ADDRESS.search(line)]
    logical = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")]
    found += [f"no hash: {line.split()[0]}" for line in logical if "--hash=sha256:" not in line]
    return found if pins else [*found, "empty"]


def unmet(requirements: list[Requirement], pins: Pins) -> list[str]:
    return [
        f"{requirement} is not met"
        for requirement in requirements
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]


def disagreeing(pins: Pins, runtime: Pins) -> list[str]:
    shared = pins.keys() & runtime.keys()
    return [f"{name} is {pins[name]}, but {runtime[name]} at runtime" for name in shared if pins[name] != runtime[name]]


if __name__ == "__main__":
    sys.exit(main())
