"""Triggers, what waits, hosts, who is speaking, health."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.api.schemas.base import TIME, TRIGGER, Opts, Ref, example
from services.api.schemas.runs import BRIEF, RunBrief


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

    model_config = example(trigger_id=TRIGGER)
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
        trigger_id=TRIGGER,
        type="data",
        state="settled",
        flow="build",
        received_at=TIME,
        verdicts=[{"flow": "build", "matched": True, "why": "the event names it"}],
        runs=[BRIEF],
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
    since: datetime | None = None


class Pend(BaseModel):
    """A run that waits for a host, and every reason that holds. None: it is about to go."""

    model_config = example(
        ref="h1-42",
        flow="build",
        since=TIME,
        reasons=[{"kind": "no-host", "text": "no live host has gpu", "tags": ["gpu"]}],
    )
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
        last_seen_at=TIME,
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

    model_config = example(user="admin", role="admin", token="admin")  # noqa: S106 - a name, no secret
    user: str
    role: Literal["viewer", "operator", "admin"]
    token: str


class Health(BaseModel):
    """`ok` or what is missing."""

    model_config = example(status="ok", checks={"store": "ok", "live": "ok"})
    status: Literal["ok", "failed"]
    checks: dict[str, str] = Field(default_factory=dict)
