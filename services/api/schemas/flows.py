"""Flows: lists, versions, one version whole, its graph."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.api.schemas.base import GRAPH, TIME, FlowProblem, Graph, example
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


_NODE: dict[str, Any] = {
    "id": "done",
    "name": "done",
    "class": "task",
    "type": "end",
    "listen": "trigger.good",
    "wait": [],
    "good": [0],
    "ignore_fail": False,
    "use_status": False,
    "timeout_seconds": None,
    "secrets": [],
    "opts": {},
    "line": 5,
}
_FLOW: dict[str, Any] = {
    "id": "build",
    "ver": 3,
    "name": "Build",
    "reuse_space": False,
    "keep_space": False,
    "host_tags": ["linux"],
    "resource_tags": [],
    "env": [],
    "secrets": [],
    "flow_file": None,
    "timeout_seconds": None,
    "notify": None,
    "triggers": [{**_NODE, "id": "start", "name": "start", "class": "trigger", "type": "data", "listen": None}],
    "tasks": [_NODE],
    "line": 1,
    "source": "api",
    "armed": True,
    "paused": None,
    "stored_at": TIME,
}


class FlowNode(BaseModel):
    """A trigger, task or merge as defined; `opts` are its own options."""

    model_config = example(**_NODE)
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

    model_config = example(**_FLOW)
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

    model_config = example(flow=_FLOW, graph=GRAPH, problems=[], runs=[ITEM])
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

    model_config = example(
        problems=[{"level": "fatal", "line": 4, "node": "b", "message": "no task type `exce`", "hint": "exec"}]
    )
    problems: list[FlowProblem]
