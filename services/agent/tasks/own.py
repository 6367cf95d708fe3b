"""How the agent starts a program of ours, and reads what it left (see `services.agent.programs`)."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.agent.plain_file import read_plain
from services.agent.programs import report
from services.agent.tasks.plan import TaskEnd, TaskPlace, TaskPlan, TaskSettings
from services.agent.tasks.surroundings import base_environment, facts
from shared.bus.messages import TaskOffered

_MOST_BYTES = 1 << 20
_STARTER = str(Path(report.__file__).with_name("__main__.py"))


def plan(offer: TaskOffered, place: TaskPlace, settings: TaskSettings, spec: Mapping[str, Any]) -> TaskPlan:
    """A process that runs the program of the offer's type on this spec. Raises OSError."""
    (place.scratch / "result.json").unlink(missing_ok=True)
    report.write_json(place.scratch / "spec.json", dict(spec))
    argv = (sys.executable, "-I", "-S", _STARTER, offer.task, str(place.scratch))
    env = {**base_environment(settings), **facts(offer, place)}
    return TaskPlan(argv, env, place.workspace, f"in dir: {place.workspace}\n".encode(), own_program=True)


def end(offer: TaskOffered, place: TaskPlace, status: int) -> TaskEnd:
    """What its result says; without one it was killed, or could not even start."""
    try:
        result = json.loads(read_plain(place.scratch / "result.json", _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        result = None
    if not isinstance(result, dict):
        if status > 128:
            return TaskEnd(status, trailer=f"exited with status: {status}\n".encode())
        reason = f"{offer.task} ended with status {status} and without a result"
        return TaskEnd(None, reason, trailer=f"{reason}\n".encode())
    if "error" in result:
        return TaskEnd(None, str(result["error"]))
    opts = result.get("opts")
    return TaskEnd(status, opts=opts if isinstance(opts, dict) else {})
