"""The shapes of the HTTP API: what is read is checked by them, what is answered is described by them.

Answers are written by `views` as plain values; the tests hold that they fit these models.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

Ref = Annotated[str, Field(description="A run's name, HOST-N", examples=["h1-42"])]
Opts = Annotated[dict[str, Any], Field(description="Options: a JSON object", examples=[{"branch": "main"}])]
RunPhase = Literal["pending", "active", "archive"]
Outcome = Literal["good", "bad", "cancelled"]
Status = Literal["idle", "queued", "running", "waiting", "finished", "cancelled", "lost"]
_TIME = "2026-01-31T09:30:00.250000Z"
_LATER = "2026-01-31T09:30:02.125000Z"
_TRIGGER = "t-8f14e45fceea167a5a36dedd4bea2543"


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

    model_config = example(level="problem", line=7, node="build", message="nobody emits `task.tset.good`", hint="task.test.good")
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


# --- runs ------------------------------------------------------------------------------------------------------------

_BRIEF: dict[str, Any] = {"ref": "h1-42", "flow": "build", "ver": 3, "phase": "active", "outcome": None}
_ITEM: dict[str, Any] = {
    **_BRIEF,
    "reason": "",
    "host": "h1",
    "trigger_id": _TRIGGER,
    "trigger_type": "data",
    "created_at": _TIME,
    "started_at": _LATER,
    "ended_at": None,
}


class RunBrief(BaseModel):
    """A run, in few words."""

    model_config = example(**_BRIEF)
    ref: Ref
    flow: str
    ver: int
    phase: RunPhase
    outcome: Outcome | None


class RunItem(RunBrief):
    """A run in a list."""

    model_config = example(**_ITEM)
    reason: Annotated[str, Field(description="Why it ended as it did, or what holds it up")]
    host: str | None
    trigger_id: str
    trigger_type: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunTrigger(BaseModel):
    """What started a run; `node` is the flow's trigger."""

    model_config = example(id=_TRIGGER, type="data", node="start")
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


class NodeState(BaseModel):
    """A node of a run. `activation` numbers its latest doing; an idle node has none.

    `form`, `values` and `missing` are those of a data node, `due_at` is a timer's.
    """

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

    model_config = example(trigger_id=_TRIGGER, runs=[{**_BRIEF, "phase": "archive", "outcome": "good"}])
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
        at=_LATER,
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


# --- flows -----------------------------------------------------------------------------------------------------------


class FlowItem(BaseModel):
    """A flow's latest version, with its last run."""

    model_config = example(
        id="build",
        name="Build",
        ver=3,
        source="api",
        armed=True,
        paused=None,
        stored_at=_TIME,
        problems=[],
        runs=[_ITEM],
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

    model_config = example(id="build", ver=3, name="Build", source="api", armed=True, stored_at=_TIME, problems=[])
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


# --- triggers, placement, hosts, the rest ----------------------------------------------------------------------------


class TriggerData(BaseModel):
    """A data trigger. Either `flow`, or `broadcast: true` for every flow that has a data trigger."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"flow": "build", "opts": {"branch": "main"}}]}
    )
    flow: Annotated[str | None, Field(max_length=64)] = None
    ver: Annotated[int | None, Field(ge=1, le=2**31 - 1, strict=True)] = None
    trigger: Annotated[str | None, Field(max_length=64)] = None
    broadcast: bool = False
    opts: Opts = Field(default_factory=dict)


class TriggerAccepted(BaseModel):
    """The trigger is kept; `GET /triggers/{trigger_id}` says what becomes of it."""

    model_config = example(trigger_id=_TRIGGER)
    trigger_id: str


class Verdict(BaseModel):
    """Why a flow did or did not match a trigger."""

    model_config = example(flow="build", matched=True, why="the event names it")
    flow: str
    matched: bool
    why: str


class TriggerDetail(BaseModel):
    """An inbound trigger: `accepted` until a hub has looked at it, then `settled` or `refused`."""

    model_config = example(
        trigger_id=_TRIGGER,
        type="data",
        state="settled",
        flow="build",
        received_at=_TIME,
        verdicts=[{"flow": "build", "matched": True, "why": "the event names it"}],
        runs=[_BRIEF],
    )
    trigger_id: str
    type: str
    state: Literal["accepted", "inbox", "settled", "refused"]
    flow: str | None
    received_at: datetime | None
    verdicts: list[Verdict]
    runs: list[RunBrief]


class Reason(BaseModel):
    """One thing that keeps a run waiting (FLOWS D-08)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "no-host", "text": "no live host has gpu", "tags": ["gpu"]}]}
    )
    kind: Literal["no-host", "hosts-full", "tag-held", "space-held", "behind", "paused", "never"]
    text: str
    tags: list[str] | None = None
    run: Ref | None = None
    host: str | None = None


class Pend(BaseModel):
    """A run that waits for a host, and every reason that holds. None: it is about to go."""

    ref: Ref
    flow: str
    since: datetime
    reasons: list[Reason]


class Agent(BaseModel):
    """A host. `load` is used / slots."""

    model_config = example(
        host="h1",
        tags=["linux", "go"],
        slots=10,
        used=2,
        running=3,
        load=0.2,
        state="up",
        draining=False,
        ephemeral=False,
        version="0.1.0",
        last_seen_at=_TIME,
        disk_free_bytes=81604378624,
    )
    host: str
    tags: list[str]
    slots: int
    used: int
    running: int
    load: float
    state: Literal["up", "away", "lost", "left", "deleted"]
    draining: bool
    ephemeral: bool
    version: str
    last_seen_at: datetime | None
    disk_free_bytes: int | None


class Me(BaseModel):
    """Who is speaking; `token` is the name of the token that was used."""

    model_config = example(user="admin", role="admin", token="admin")
    user: str
    role: Literal["viewer", "operator", "admin"]
    token: str


class Health(BaseModel):
    """`ok` or what is missing."""

    model_config = example(status="ok", checks={"store": "ok", "live": "ok"})
    status: Literal["ok", "failed"]
    checks: dict[str, str] = Field(default_factory=dict)
