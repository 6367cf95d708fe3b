"""A batch of the hub as rows, by kind of row: what both adapters write, each with statements of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.flows.model import Flow
from shared.runs.events import TimerKind
from shared.runs.refs import number_of
from shared.store import rows
from shared.store.codec import flow_text
from shared.store.port import RunChange, TriggerRow
from shared.store.rows import Times

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Batch:
    """No key comes twice in one kind; a timer that is set anew is not among the cleared ones."""

    definitions: Rows
    triggers: Rows
    new_runs: Rows
    new_opts: Rows
    steps: Rows
    """RUN_MOVING, number, the rev that the row must still have."""
    activations: Rows
    events: Rows
    cleared_timers: Rows
    set_timers: Rows
    freed: Rows


def rows_of(
    triggers: Sequence[TriggerRow],
    changes: Sequence[RunChange],
    definitions: Mapping[str, Flow],
    now: datetime,
    times: Times,
) -> Batch:
    """Rows in order of their keys, so that two batches never wait for each other crosswise."""
    new = [(c.adopted, c.state) for c in changes if c.adopted is not None]
    old = [c for c in changes if c.adopted is None]
    timers = dict(_timers(changes, times))
    return Batch(
        definitions=[(key, flow_text(definitions[key])) for key in sorted(definitions)],
        triggers=[rows.trigger_row(each, now, times) for each in sorted(triggers, key=lambda each: each.id)],
        new_runs=[(*rows.run_fixed(facts, s, now, times), *rows.run_moving(s, times)) for facts, s in new],
        new_opts=[rows.run_opts_row(facts, state) for facts, state in new],
        steps=[(*rows.run_moving(c.state, times), number_of(c.state.ref), c.before_rev) for c in old],
        activations=[row for c in changes for row in _activations(c, now, times)],
        events=[rows.event_row(event, times) for c in changes for event in c.events],
        cleared_timers=[key for key in _cleared(changes) if key not in timers],
        set_timers=[(*key, due_at) for key, due_at in timers.items()],
        freed=[(number_of(c.state.ref),) for c in changes if c.free_claims],
    )


def _activations(change: RunChange, now: datetime, times: Times) -> Iterator[tuple[Any, ...]]:
    latest = {a.n: a for a in change.activations}
    return (rows.activation_row(change.state.ref, a, now, times) for a in latest.values())


def _timers(changes: Sequence[RunChange], times: Times) -> Iterator[tuple[tuple[int, int, TimerKind], Any]]:
    for change in changes:
        for timer in change.set_timers:
            yield (number_of(timer.run), timer.n, timer.kind), times.into(timer.due_at)


def _cleared(changes: Sequence[RunChange]) -> Iterator[tuple[int, int, TimerKind]]:
    for change in changes:
        number = number_of(change.state.ref)
        for n, kind in dict.fromkeys(change.cleared_timers):
            yield (number, n, kind)
