"""What every task's process is given: a short environment, floe's own facts, the options as a file (FLOWS §6, N-01)."""

import json
import os
from collections.abc import Mapping

from services.agent.tasks.plan import TaskPlace, TaskSettings
from shared.bus.messages import TaskOffered

PASSED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSH_AUTH_SOCK")


def base_environment(settings: TaskSettings) -> dict[str, str]:
    """The few variables of the agent that its tasks may see; never its credentials."""
    names = dict.fromkeys((*PASSED, *settings.pass_env))
    return {name: os.environ[name] for name in names if name in os.environ}


def facts(offer: TaskOffered, place: TaskPlace) -> Mapping[str, str]:
    """floe's own variables, which nothing overrides."""
    return {
        "FLOEWS": str(place.workspace),
        "FLOE_RUN": offer.run,
        "FLOE_FLOW": offer.flow,
        "FLOE_NODE": offer.node,
        "FLOE_ACTIVATION": str(offer.n),
        "FLOE_EPOCH": str(offer.epoch),
        "FLOE_OUTPUT": str(place.scratch / "output"),
        "FLOE_OPTS": str(place.scratch / "opts.json"),
        "CI": "true",
    }


def write_options(offer: TaskOffered, place: TaskPlace) -> None:
    """Write every effective option to the file that `FLOE_OPTS` names."""
    content = json.dumps(dict(offer.opts), indent=1).encode()
    opened = os.open(place.scratch / "opts.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(opened, "wb") as file:
        file.write(content)
