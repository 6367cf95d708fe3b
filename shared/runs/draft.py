"""A run in the middle of one step: the only mutable thing in the pure core, made and spent inside `machine.step`.

It keeps the books (numbers, counters, open activations, effects in order) so that the rules need not.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.runs.effects import ClearTimer, Effect, Emit, FreeClaims
from shared.runs.events import RunEvent, SourceClass, TimerKind
from shared.runs.state import FINAL, MERGE_TYPES, Activation, RunState


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step made. `touched` are the activations that changed, by number, closed ones among them."""

    run: RunState
    effects: tuple[Effect, ...] = ()
    touched: tuple[Activation, ...] = ()


class Draft:
    """One step's working copy. `finish` gives the result; nothing of it outlives that."""

    __slots__ = (
        "at", "before", "effects", "merges", "next_n", "open", "out", "queue", "reasons", "run", "seq", "touched",
        "waiting",
    )  # fmt: skip

    def __init__(self, run: RunState, at: datetime) -> None:
        self.before = run
        self.run = run
        """Phase, outcome, host and the like; the numbers below are ahead of it until the step is finished."""
        self.at = at
        self.seq, self.next_n, self.out, self.waiting = run.seq, run.next_n, run.out, run.waiting
        self.open: dict[int, Activation] = dict(run.open)
        self.merges: dict[str, int] = dict(run.merges)
        self.touched: dict[int, Activation] = {}
        self.effects: list[Effect] = []
        self.queue: deque[RunEvent] = deque()
        self.reasons: dict[int, str] = {}
        """Why the event of that seq is not good, in words: for the run's own reason, not for its listeners."""

    def set(self, **changes: Any) -> None:
        """Change fields of the run."""
        self.run = replace(self.run, **changes)

    def emit(self, tag: str, source: SourceClass, source_id: str, opts: Mapping[str, Any], good: bool = True) -> None:
        """Number an event, log it, and queue it for those who listen (system events have no listeners)."""
        self.seq += 1
        event = RunEvent(self.run.ref, self.seq, tag, source, source_id, good, opts, self.at)
        self.effects.append(Emit(event))
        if source != "sys" and not tag.startswith("sys."):
            self.queue.append(event)

    def why(self, event: RunEvent) -> str:
        """What to say of a run that ends by a bad event."""
        said = self.reasons.get(event.seq)
        if said is not None and self.run.host_lost:
            return said
        return f"{event.source_id}: {said}" if said else event.tag

    def add(self, activation: Activation) -> None:
        """A new activation, whose number is the run's next."""
        self.next_n = activation.n + 1
        self._count(activation, +1)
        self._keep(activation)

    def put(self, old: Activation, **changes: Any) -> Activation:
        """Change an open activation; it leaves the open ones when nothing of it is."""
        new = replace(old, **changes)
        self._count(old, -1)
        self._count(new, +1)
        self._keep(new)
        return new

    def _keep(self, activation: Activation) -> None:
        self.touched[activation.n] = activation
        is_merge = activation.type in MERGE_TYPES
        if activation.is_open:
            self.open[activation.n] = activation
            if is_merge:
                self.merges[activation.node] = activation.n
            return
        self.open.pop(activation.n, None)
        if is_merge and self.merges.get(activation.node) == activation.n:
            del self.merges[activation.node]

    def _count(self, activation: Activation, by: int) -> None:
        if activation.process == "out":
            self.out += by
        elif activation.phase == "waiting" and activation.type not in MERGE_TYPES:
            self.waiting += by

    def clear_timer(self, n: int, kind: TimerKind) -> None:
        """That timer is not wanted any more."""
        self.effects.append(ClearTimer(n, kind))

    def free_claims_if_idle(self) -> None:
        """FLOWS D-04: tags are held until the run is archived and its processes are gone."""
        holds = self.run.phase != "archive" or self.out > 0
        if not holds and self.before.holds_claims:
            self.effects.append(FreeClaims())

    def merges_half_full(self) -> list[Activation]:
        """Merges that still wait, in order of number."""
        return [self.open[n] for n in sorted(self.merges.values()) if self.open[n].phase not in FINAL]

    def finish(self) -> Stepped:
        """The step's result. A step that did nothing gives back the very state it was given."""
        if self.run is self.before and not self.touched and self.seq == self.before.seq:
            return Stepped(self.before, tuple(self.effects))
        run = replace(
            self.run,
            seq=self.seq,
            next_n=self.next_n,
            out=self.out,
            waiting=self.waiting,
            open=self.open,
            merges=self.merges,
            rev=self.before.rev + 1,
        )
        return Stepped(run, tuple(self.effects), tuple(self.touched[n] for n in sorted(self.touched)))
