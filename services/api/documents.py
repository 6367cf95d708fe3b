"""Definitions as they are sent: YAML or JSON in, a flow and findings out (FLOWS §1)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from services.api.problems import WrongMediaType
from services.api.views import Json
from shared.flows.model import Flow

_KINDS = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", "application/json")


@dataclass(frozen=True, slots=True)
class Document:
    """A definition that was read. `flow` is None when a finding is fatal."""

    flow: Flow | None
    problems: Sequence[Json]


async def read(request: Request) -> Document:
    """Read the request's body. Raises WrongMediaType; whatever the text, findings say what is wrong with it."""
    kind = request.headers.get("content-type", "application/yaml").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise WrongMediaType("Send the definition as application/yaml or application/json.")
    body = await request.body()
    return await asyncio.to_thread(_read, body)


def _read(body: bytes) -> Document:
    raise NotImplementedError


def fatal(message: str) -> Json:
    """A finding of our own."""
    return {"level": "fatal", "line": None, "node": None, "message": message, "hint": None}


def summary(problems: Sequence[Json]) -> str:
    """The first fatal finding, and how many more there are."""
    found = [problem for problem in problems if problem["level"] == "fatal"]
    if not found:
        return "the definition cannot be used"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    line = f"line {found[0]['line']}: " if found[0].get("line") else ""
    return f"{line}{found[0]['message']}{more}"
