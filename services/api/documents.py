"""Definitions as they are sent: YAML or JSON in, a flow and findings out (FLOWS §1).

Reading takes a while for large ones, so a thread does it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from services.api.problems import WrongMediaType
from services.api.views import Json
from shared.flows import problems
from shared.flows.model import Flow
from shared.flows.parse import parse_document, parse_flow

_KINDS = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", "application/json")


@dataclass(frozen=True, slots=True)
class Document:
    """A definition that was read. `flow` is None when a finding is fatal."""

    flow: Flow | None
    problems: Sequence[Json]


async def read_one(request: Request, flow_id: str) -> Document:
    """Read one flow from the body; the id stands in where the text names none. Raises WrongMediaType, nothing else:
    whatever the text, findings say what is wrong with it."""
    return await asyncio.to_thread(_one, await _body(request), flow_id)


async def findings_of(request: Request) -> Sequence[Json]:
    """All findings about the body, a flow or a file of flows. Raises WrongMediaType."""
    document = await asyncio.to_thread(parse_document, await _body(request))
    return [problems.to_json(found) for found in document.problems]


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "application/yaml").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise WrongMediaType("Send the definition as application/yaml or application/json.")
    return await request.body()


def _one(body: bytes, flow_id: str) -> Document:
    document = parse_flow(body, default_id=flow_id)
    found = [problems.to_json(each) for each in document.problems]
    return Document(None if document.fatal or not document.flows else document.flows[0], found)


def fatal(message: str) -> Json:
    """A finding of our own."""
    return {"level": "fatal", "line": None, "node": None, "message": message, "hint": None}


def summary(findings: Sequence[Json]) -> str:
    """The first fatal finding, and how many more there are."""
    found = [problem for problem in findings if problem["level"] == "fatal"]
    if not found:
        return "the definition cannot be used"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    line = f"line {found[0]['line']}: " if found[0].get("line") else ""
    return f"{line}{found[0]['message']}{more}"
