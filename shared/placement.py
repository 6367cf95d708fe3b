"""Who runs where, and why not: pends x agents x claims -> assignments and reasons. Pure (FLOWS D-03 to D-08).

The dispatcher asks `place`, everyone who wants to know why a pend waits asks `explain`; both walk the pends the same
way, oldest first, so an explanation can never contradict a decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.runs.refs import RunRef

ReasonKind = Literal["no-host", "hosts-full", "tag-held", "space-held", "behind", "paused", "never"]
PER_HOST = "host:"

AgentState = Literal["up", "away", "lost", "left", "deleted"]


@dataclass(frozen=True, slots=True)
class PendRow:
    """A run without a host. `number` orders them: oldest first."""

    ref: RunRef
    number: int
    flow: str
    since: datetime
    host_tags: tuple[str, ...]
    resource_tags: tuple[str, ...]
    reuse_space: bool
    paused: str | None = None
    """Why the flow is paused, and by whom, if it is."""


@dataclass(frozen=True, slots=True)
class AgentRow:
    """A host as the dispatchers know it."""

    host: str
    tags: tuple[str, ...]
    slots: int
    state: AgentState
    draining: bool = False
    used: int = 0
    """Slots in use: runs with processes out or assigned and not yet started, counted by the store."""
    running: int = 0
    version: str = ""
    installation: str = ""
    incarnation: str = ""
    ephemeral: bool = False
    last_seen_at: datetime | None = None
    disk_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A resource held. `key`: `tag:NAME`, `host:HOST:NAME` for a tag written `host:NAME`, `space:HOST:FLOW`."""

    key: str
    run: RunRef
    host: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Assignment:
    """A pend gets a host and takes its claims, all or nothing."""

    ref: RunRef
    host: str
    claims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacementView:
    """All that decides who runs where, as of one moment. `ever_tags`: every set of tags that a known host ever had."""

    now: datetime
    pends: Sequence[PendRow]
    agents: Sequence[AgentRow]
    claims: Sequence[ClaimRow]
    ever_tags: Sequence[frozenset[str]] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a pend waiting (FLOWS D-08)."""

    kind: ReasonKind
    text: str
    tags: tuple[str, ...] = ()
    run: RunRef | None = None
    host: str | None = None
    since: datetime | None = None


def claim_key(tag: str, host: str) -> str:
    """The claim that a resource tag is on that host: `host:NAME` is exclusive per host, any other in the cluster."""
    return f"host:{host}:{tag.removeprefix(PER_HOST)}" if tag.startswith(PER_HOST) else f"tag:{tag}"


def space_key(flow: str, host: str) -> str:
    """The claim on a flow's one workspace on that host (FLOWS D-05)."""
    return f"space:{host}:{flow}"


def claims_of(pend: PendRow, host: str) -> tuple[str, ...]:
    """Everything that a pend takes when it goes to that host, sorted (so that two dispatchers never deadlock)."""
    keys = {claim_key(tag, host) for tag in pend.resource_tags}
    if pend.reuse_space:
        keys.add(space_key(pend.flow, host))
    return tuple(sorted(keys))


def place(view: PlacementView) -> tuple[Assignment, ...]:
    """Decide for every pend that can go now, oldest first. Deterministic; the view is not changed."""
    board = _Board(view)
    return tuple(found for pend in view.pends if (found := board.decide(pend)) is not None)


def explain(view: PlacementView) -> Mapping[RunRef, tuple[Reason, ...]]:
    """All reasons that hold, for each pend of the view. None for a pend that can go at once."""
    board = _Board(view)
    reasons: dict[RunRef, tuple[Reason, ...]] = {}
    for pend in view.pends:
        found = tuple(board.obstacles(pend))
        reasons[pend.ref] = () if board.decide(pend) is not None else found
    return reasons


class _Board:
    """What is taken so far while the pends are walked."""

    def __init__(self, view: PlacementView) -> None:
        self._view = view
        self._alive = sorted((a for a in view.agents if a.state == "up"), key=lambda a: a.host)
        self._used = {agent.host: agent.used for agent in self._alive}
        self._held: dict[str, ClaimRow] = {claim.key: claim for claim in view.claims}
        self._taken: dict[str, RunRef] = {}
        self._reserved: dict[str, RunRef] = {}
        self._matching: dict[tuple[str, ...], tuple[AgentRow, ...]] = {}
        self._ever = frozenset(tag for tags in view.ever_tags for tag in tags).union(*(a.tags for a in view.agents))

    def decide(self, pend: PendRow) -> Assignment | None:
        """Place it and take what it needs, or reserve its tags so that younger ones wait behind it (D-06)."""
        if pend.paused is not None:
            return None
        best = min(
            (a for a in self._matching_hosts(pend) if self._has_room(a) and not self._conflict(pend, a.host)),
            key=lambda a: (self._used[a.host] / a.slots, a.host),
            default=None,
        )
        if best is None:
            for agent in self._matching_hosts(pend) if pend.resource_tags else ():
                for tag in pend.resource_tags:
                    self._reserved.setdefault(claim_key(tag, agent.host), pend.ref)
            return None
        keys = claims_of(pend, best.host)
        self._taken.update(dict.fromkeys(keys, pend.ref))
        self._used[best.host] += 1
        return Assignment(pend.ref, best.host, keys)

    def obstacles(self, pend: PendRow) -> Iterator[Reason]:
        """Every reason that holds, whether or not another one would do."""
        if pend.paused is not None:
            yield Reason("paused", f"the flow is paused: {pend.paused}")
        yield from self._host_obstacles(pend)
        yield from self._claim_obstacles(pend)

    def _matching_hosts(self, pend: PendRow) -> Sequence[AgentRow]:
        found = self._matching.get(pend.host_tags)
        if found is None:
            found = tuple(a for a in self._alive if set(pend.host_tags) <= set(a.tags))
            self._matching[pend.host_tags] = found
        return found

    def _has_room(self, agent: AgentRow) -> bool:
        return not agent.draining and self._used[agent.host] < agent.slots

    def _conflict(self, pend: PendRow, host: str) -> bool:
        return any(
            key in self._held or key in self._taken or self._reserved.get(key, pend.ref) != pend.ref
            for key in claims_of(pend, host)
        )

    def _host_obstacles(self, pend: PendRow) -> Iterator[Reason]:
        never = tuple(tag for tag in pend.host_tags if tag not in self._ever)
        if never:
            words = _tags(never)
            yield Reason("never", f"can never run: no known host has ever had {words}", never)
        matching = self._matching_hosts(pend)
        if not matching:
            wanted = f"no live host has {_tags(pend.host_tags)}" if pend.host_tags else "no live host"
            yield Reason("no-host", wanted, pend.host_tags)
        elif not any(self._has_room(agent) for agent in matching):
            words = ", ".join(
                f"{a.host} {'is draining' if a.draining else f'uses {self._used[a.host]} of {a.slots} slots'}"
                for a in matching
            )
            yield Reason("hosts-full", f"all hosts that match are full or draining: {words}", pend.host_tags)

    def _claim_obstacles(self, pend: PendRow) -> Iterator[Reason]:
        hosts = [agent.host for agent in self._matching_hosts(pend)] or [""]
        for tag in pend.resource_tags:
            for key in sorted({claim_key(tag, host) for host in hosts}):
                yield from self._holder(pend, key, f"tag {tag}", "tag-held", (tag,))
        if pend.reuse_space:
            for host in hosts:
                yield from self._holder(pend, space_key(pend.flow, host), "the workspace", "space-held", ())

    def _holder(self, pend: PendRow, key: str, what: str, kind: ReasonKind, tags: tuple[str, ...]) -> Iterator[Reason]:
        held = self._held.get(key)
        if held is not None:
            since = held.since.strftime("%Y-%m-%d %H:%M:%S UTC")
            text = f"{what} is held by run {held.run} on host {held.host} since {since}"
            yield Reason(kind, text, tags, held.run, held.host, held.since)
        ahead = self._taken.get(key) or self._reserved.get(key)
        if ahead is not None and ahead != pend.ref:
            yield Reason("behind", f"behind run {ahead}, which waits for {what} too", tags, ahead)


def _tags(tags: Sequence[str]) -> str:
    return f"tag{'s' if len(tags) > 1 else ''} {', '.join(tags)}"
