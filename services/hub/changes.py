"""What a batch does to one run: steps in, one RunChange and some hints out.

Several inputs for one run in a batch are stepped one after another and written once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from shared.bus import messages as m
from shared.flows.opts import effective_opts, merge_env
from shared.runs.draft import Stepped
from shared.runs.effects import (
    ClearTimer,
    Effect,
    Emit,
    EndRun,
    FreeClaims,
    RequestData,
    SetTimer,
    StartTask,
    StopTask,
)
from shared.runs.events import RunEvent, TimerKind, event_json
from shared.runs.program import GraphProgram
from shared.runs.state import FINAL, Activation, RunState
from shared.store.port import RunChange, RunFacts, Timer


@dataclass(slots=True)
class RunWork:
    """One run while a batch works on it."""

    facts: RunFacts
    program: GraphProgram
    state: RunState
    before_rev: int
    adopted: bool = False
    touched: dict[int, Activation] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)
    timers: dict[tuple[int, TimerKind], Timer | None] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    stops: dict[int, str] = field(default_factory=dict)
    freed: bool = False
    ended: EndRun | None = None
    was_busy: bool = False

    def absorb(self, stepped: Stepped) -> None:
        """Take over what a step made."""
        self.state = stepped.run
        self.touched.update((a.n, a) for a in stepped.touched)
        for effect in stepped.effects:
            self._take(effect)

    def _take(self, effect: Effect) -> None:
        match effect:
            case Emit(event):
                self.events.append(event)
            case StartTask(n):
                self.starts.append(n)
            case StopTask(n, reason):
                self.stops[n] = reason
            case SetTimer(n, kind, due_at):
                self.timers[n, kind] = Timer(self.state.ref, n, kind, due_at)
            case ClearTimer(n, kind):
                self.timers[n, kind] = None
            case EndRun():
                self.ended = effect
            case FreeClaims():
                self.freed = True
            case RequestData():
                pass  # the activation's own row says that it waits
            case _:
                assert_never(effect)

    @property
    def changed(self) -> bool:
        """Whether anything is to be written."""
        return self.adopted or self.state.rev != self.before_rev or bool(self.timers)

    def change(self) -> RunChange:
        """What is to be written."""
        return RunChange(
            state=self.state,
            before_rev=self.before_rev,
            adopted=self.facts if self.adopted else None,
            activations=[self.touched[n] for n in sorted(self.touched)],
            events=self.events,
            set_timers=[timer for timer in self.timers.values() if timer is not None],
            cleared_timers=[key for key, timer in self.timers.items() if timer is None],
            free_claims=self.freed,
        )

    def hints(self, at: datetime) -> Iterator[m.Message]:
        """What others are told once it is committed. All of it can be said again from the store."""
        ref = self.state.ref
        if self.adopted:
            yield m.PendAdded(id=f"{ref}/pend", at=at, run=ref)
        for n in self.starts:
            activation = self.state.open.get(n)  # a later input of the same batch may have ended it
            if n not in self.stops and activation is not None and activation.process == "out":
                yield self.offer(n, at)
        for n, reason in self.stops.items():
            yield self.stop(n, reason, at)
        if self.freed or (self.was_busy and not self.state.busy):
            yield m.ClaimsReleased(id=f"{ref}/released/{self.state.rev}", at=at, run=ref)
        if self.events:
            yield self.live(at)

    def live(self, at: datetime) -> m.RunEvents:
        """The batch's events for people who watch."""
        facts = self.facts
        return m.RunEvents(
            id=f"{self.state.ref}/events/{self.state.seq}",
            at=at,
            run=self.state.ref,
            flow=facts.flow,
            ver=facts.ver,
            phase=self.state.phase,
            outcome=self.state.outcome,
            trigger_id=facts.trigger_id,
            events=[event_json(event, facts.flow, facts.ver) for event in self.events],
            logs=[(a.n, a.log_length) for a in self.touched.values() if a.log_length is not None],
        )

    def offer(self, n: int, at: datetime) -> m.TaskOffered:
        """The offer of an activation: the same each time it is made (ARCHITECTURE §2)."""
        activation, flow, state = self.state.open[n], self.program.flow, self.state
        node = flow.node(activation.node)
        trigger = flow.node(state.trigger_node)
        if node is None or state.host is None:
            raise LookupError(f"{state.ref}/{n} cannot be offered: no node or no host")
        trigger_env = trigger.opts.get("env", ()) if trigger else ()
        return m.TaskOffered(
            id=f"{state.ref}/{n}/offer",
            at=at,
            run=state.ref,
            n=n,
            epoch=state.epoch,
            host=state.host,
            flow=flow.id,
            ver=self.facts.ver,
            node=node.id,
            task=node.type,
            definition=node.opts,
            env=merge_env(flow.env, trigger_env, node.opts.get("env", ())),
            opts=effective_opts(state.opts, activation.opts, node),
            reuse_space=flow.reuse_space,
            keep_space=flow.keep_space,
            exclusive=bool(self.facts.resource_tags) or flow.reuse_space,
        )

    def stop(self, n: int, reason: str, at: datetime) -> m.StopRequested:
        """Tell the host to end an activation."""
        state = self.state
        stop_id = f"{state.ref}/{n}/stop"
        return m.StopRequested(
            id=stop_id, at=at, run=state.ref, n=n, epoch=state.epoch, host=state.host or "", reason=reason
        )

    def outstanding(self, at: datetime) -> Iterator[m.Message]:
        """What its host has not answered: offers not accepted, processes that should be gone."""
        for activation in self.state.open.values():
            if activation.process != "out":
                continue
            if activation.stopping is not None or activation.phase in FINAL:
                yield self.stop(activation.n, activation.stopping or activation.reason, at)
            elif not activation.accepted:
                yield self.offer(activation.n, at)
