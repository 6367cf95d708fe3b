"""Runs: lists, one run whole, starting one, its events, its forms."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.api.schemas.base import GRAPH, LATER, TIME, TRIGGER, Graph, Opts, Outcome, Ref, RunPhase, Status, example

BRIEF: dict[str, Any] = {"ref": "h1-42", "flow": "build", "ver": 3, "phase": "active", "outcome": None}
ITEM: dict[str, Any] = {
    **BRIEF,
    "reason": "",
    "host": "h1",
    "trigger_id": TRIGGER,
    "trigger_type": "data",
    "created_at": TIME,
    "started_at": LATER,
    "ended_at": None,
}


class RunBrief(BaseModel):
    """A run, in few words."""

    model_config = example(**BRIEF)
    ref: Ref
    flow: str
    ver: int
    phase: RunPhase
    outcome: Outcome | None


class RunItem(RunBrief):
    """A run in a list."""

    model_config = example(**ITEM)
    reason: Annotated[str, Field(description="Why it ended as it did, or what holds it up")]
    host: str | None
    trigger_id: str
    trigger_type: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunTrigger(BaseModel):
    """What started a run; `node` is the flow's trigger."""

    model_config = example(id=TRIGGER, type="data", node="start")
    id: str
    type: str
    node: str | None


class Progress(BaseModel):
    """How many of the flow's tasks and merges are done, in their latest doing."""

    model_config = example(done=1, total=3)
    done: int
    total: int


class MergeWait(BaseModel):
    """A tag that a merge waits for, and whether it has come."""

    model_config = example(tag="task.test.good", came=True)
    tag: str
    came: bool


NODE: dict[str, Any] = {
    "id": "compile",
    "name": "compile",
    "class": "task",
    "type": "exec",
    "status": "running",
    "result": None,
    "reason": "",
    "activation": 1,
    "activations": 1,
    "exit_status": None,
    "waits": [],
    "log_length": None,
    "queued_at": LATER,
    "started_at": LATER,
    "stopped_at": None,
}


class NodeState(BaseModel):
    """A node of a run. `activation` numbers its latest doing; an idle node has none.

    `form`, `values` and `missing` are those of a data node, `due_at` is a timer's.
    """

    model_config = example(**NODE)
    id: str
    name: str
    class_: Annotated[Literal["trigger", "task", "merge"], Field(alias="class")]
    type: str
    status: Status
    result: Literal["good", "bad", "error"] | None
    reason: str
    activation: int | None
    activations: Annotated[int, Field(description="How often it was started in this run")]
    exit_status: int | None
    waits: list[MergeWait]
    log_length: Annotated[int | None, Field(description="Bytes of output in all, once known")]
    queued_at: datetime | None
    started_at: datetime | None
    stopped_at: datetime | None
    due_at: datetime | None = None
    form: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    missing: list[str] | None = None


class RunDetail(RunBrief):
    """A run with every node of its flow."""

    model_config = example(
        **BRIEF,
        reason="",
        host="h1",
        host_state="up",
        opts={"branch": "main"},
        trigger={"id": TRIGGER, "type": "data", "node": "start"},
        progress={"done": 0, "total": 2},
        seq=5,
        created_at=TIME,
        started_at=LATER,
        ended_at=None,
        nodes=[NODE],
        graph=GRAPH,
    )
    reason: str
    host: str | None
    host_state: Literal["up", "away", "lost", "left", "deleted"] | None
    opts: Opts
    trigger: RunTrigger
    progress: Progress
    seq: Annotated[int, Field(description="The number of its last event")]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    nodes: list[NodeState]
    graph: Graph


class StartRun(BaseModel):
    """A run to start. Without `ver` the latest version; without `trigger` the flow's first data trigger."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"opts": {"branch": "main"}}]})
    opts: Opts = Field(default_factory=dict)
    ver: Annotated[int | None, Field(ge=1, le=2**31 - 1, strict=True)] = None
    trigger: Annotated[str | None, Field(max_length=64)] = None


class LogGap(BaseModel):
    """Output that was announced and is not stored: of `announced` bytes only the first `stored` can be read."""

    model_config = example(ref="h1-42", activation=2, stored=4096, announced=5000)
    ref: Ref
    activation: int
    stored: int
    announced: int


class Started(BaseModel):
    """What a trigger led to, as far as it was waited for. `why` says why it made no run."""

    model_config = example(trigger_id=TRIGGER, runs=[{**BRIEF, "phase": "archive", "outcome": "good"}])
    trigger_id: str
    runs: list[RunBrief]
    why: str | None = None
    log_gaps: list[LogGap] | None = None


class EventSource(BaseModel):
    """The class and id of who emitted an event."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra={"examples": [{"class": "task", "id": "build"}]})
    class_: Annotated[Literal["sys", "trigger", "task", "merge"], Field(alias="class")]
    id: str


class Event(BaseModel):
    """An event of a run; `seq` counts from 1 without gaps within the run."""

    model_config = example(
        id="h1-42/6",
        seq=6,
        run="h1-42",
        flow="build",
        ver=3,
        tag="task.build.good",
        source={"class": "task", "id": "build"},
        good=True,
        opts={},
        at=LATER,
    )
    id: str
    seq: int
    run: Ref
    flow: str
    ver: int
    tag: str
    source: EventSource
    good: bool
    opts: Opts
    at: datetime


class Values(BaseModel):
    """Values for a form's fields."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"values": {"approved": True}}]})
    values: dict[str, Any]


class Missing(BaseModel):
    """The required fields that have no value yet; empty when the node goes on."""

    model_config = example(missing=["reviewer"])
    missing: list[str]


class CancelAccepted(BaseModel):
    """The run is told to end."""

    model_config = example(ref="h1-42")
    ref: Ref
