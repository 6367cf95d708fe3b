"""Flows: lists, versions, one version whole, its graph."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.api.schemas.base import TIME, FlowProblem, Graph, example
from services.api.schemas.runs import ITEM, RunItem


class FlowItem(BaseModel):
    """A flow's latest version, with its last run."""

    model_config = example(
        id="build",
        name="Build",
        ver=3,
        source="api",
        armed=True,
        paused=None,
        stored_at=TIME,
        problems=[],
        runs=[ITEM],
    )
    id: str
    name: str
    ver: int
    source: Annotated[str, Field(description="Where it came from: api, or a configuration file")]
    armed: Annotated[bool, Field(description="Whether its triggers work")]
    paused: Annotated[str | None, Field(description="Why it is paused, if it is")]
    stored_at: datetime
    problems: list[FlowProblem]
    runs: list[RunItem]


class FlowVersion(BaseModel):
    """A stored version."""

    model_config = example(id="build", ver=3, name="Build", source="api", armed=True, stored_at=TIME, problems=[])
    id: str
    ver: int
    name: str
    source: str
    armed: bool
    stored_at: datetime
    problems: list[FlowProblem]


class FlowNode(BaseModel):
    """A trigger, task or merge as defined; `opts` are its own options."""

    id: str
    name: str
    class_: Annotated[Literal["trigger", "task", "merge"], Field(alias="class")]
    type: str
    listen: str | None
    wait: list[str]
    good: list[int]
    ignore_fail: bool
    use_status: bool
    timeout_seconds: float | None
    secrets: list[str]
    opts: dict[str, Any]
    line: int


class FlowBody(BaseModel):
    """A version of a flow, whole."""

    id: str
    ver: int
    name: str
    reuse_space: bool
    keep_space: bool
    host_tags: list[str]
    resource_tags: list[str]
    env: list[str]
    secrets: list[str]
    flow_file: str | None
    timeout_seconds: float | None
    notify: Any
    triggers: list[FlowNode]
    tasks: list[FlowNode]
    line: int
    source: str
    armed: bool
    paused: str | None
    stored_at: datetime


class FlowDetail(BaseModel):
    """A version of a flow, its graph, what is wrong with it, and its last runs, newest first."""

    flow: FlowBody
    graph: Graph
    problems: list[FlowProblem]
    runs: list[RunItem]


class FlowStored(BaseModel):
    """The version under which a definition is kept."""

    model_config = example(id="build", ver=4, stored=True, problems=[])
    id: str
    ver: int
    stored: Annotated[bool, Field(description="False: identical to a version that was kept already")]
    problems: list[FlowProblem]


class Findings(BaseModel):
    """Everything that was found in a definition."""

    problems: list[FlowProblem]
