"""What other shapes share: pages, problems, graphs, and the words for phases and outcomes."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

Ref = Annotated[str, Field(description="A run's name, HOST-N", examples=["h1-42"])]
Opts = Annotated[dict[str, Any], Field(description="Options: a JSON object", examples=[{"branch": "main"}])]
RunPhase = Literal["pending", "active", "archive"]
Outcome = Literal["good", "bad", "cancelled"]
Status = Literal["idle", "queued", "running", "waiting", "finished", "cancelled", "lost"]
TIME = "2026-01-31T09:30:00.250000Z"
LATER = "2026-01-31T09:30:02.125000Z"
TRIGGER = "t-8f14e45fceea167a5a36dedd4bea2543"


GRAPH = {
    "levels": [["start"], ["compile"], ["done"]],
    "edges": [
        {"from": "start", "to": "compile", "tag": "trigger.good"},
        {"from": "compile", "to": "done", "tag": "task.compile.good"},
    ],
}


def example(**values: Any) -> ConfigDict:
    """A model's configuration with an example for the contract."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class Page(BaseModel, Generic[T]):
    """A part of a list. `next` is the `cursor` of what follows; null at the end."""

    items: list[T]
    next: str | None


class InputError(BaseModel):
    """One thing wrong with an input."""

    loc: Annotated[str, Field(examples=["opts.branch"])]
    msg: Annotated[str, Field(examples=["is required"])]


class FlowProblem(BaseModel):
    """A finding about a definition; `hint` is the nearest right name."""

    model_config = example(
        level="problem", line=7, node="build", message="nobody emits `task.tset.good`", hint="task.test.good"
    )
    level: Literal["fatal", "problem", "note"]
    line: int | None
    node: str | None
    message: str
    hint: str | None


class Problem(BaseModel):
    """An error (RFC 9457). `errors` for input, `problems` for a refused definition, `id` for a 5xx: the log has it."""

    model_config = example(type="about:blank", title="Not Found", status=404, detail="there is no flow `biuld`")
    type: str
    title: str
    status: int
    detail: str
    errors: list[InputError] | None = None
    problems: list[FlowProblem] | None = None
    id: str | None = None


class Edge(BaseModel):
    """Who is started by whom, on which tag."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={"examples": [{"from": "build", "to": "test", "tag": "task.build.good"}]},
    )
    from_: Annotated[str, Field(alias="from")]
    to: str
    tag: str


class Graph(BaseModel):
    """The flow's nodes by level, and what joins them (FLOWS §7)."""

    levels: Annotated[list[list[str]], Field(examples=[[["start"], ["build"], ["test"]]])]
    edges: list[Edge]
