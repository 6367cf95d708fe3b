"""Runs, activations, events and triggers as rows, and back. A row is a tuple in the order of the table's columns.

`Times` is how a database keeps a time: PostgreSQL's driver takes and gives aware datetimes, SQLite whole microseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from shared.runs.events import RunEvent
from shared.runs.refs import RunNumber, RunRef, make_ref, number_of
from shared.runs.state import Activation, RunState, merge_index
from shared.store.codec import clean, clean_or_none, dumps, from_micros, loads, tags_of, tags_text, to_micros
from shared.store.port import RunFacts, StoredRun, TriggerRow, Verdict
from shared.store.tables import activation, run, run_event, trigger_event

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Times:
    """`into` the database and `out_of` it; None stays None."""

    into: Callable[[datetime | None], Any]
    out_of: Callable[[Any], datetime | None]


def _same(at: datetime | None) -> datetime | None:
    return at


AS_IS = Times(_same, _same)
AS_MICROS = Times(to_micros, from_micros)

RUN = tuple(run.columns.keys())
RUN_FIXED, RUN_MOVING = RUN[: RUN.index("phase")], RUN[RUN.index("phase") :]
"""What is written once, and what each step writes."""
ACTIVATION = tuple(activation.columns.keys())
EVENT = tuple(run_event.columns.keys())
TRIGGER = tuple(trigger_event.columns.keys())
_HUB, _HOST, _EPOCH, _REV = RUN.index("hub"), RUN.index("host"), RUN.index("epoch"), RUN.index("rev")


def run_fixed(facts: RunFacts, state: RunState, now: datetime, times: Times) -> tuple[Any, ...]:
    """The part of a run's row that is written once."""
    return (
        facts.number,
        facts.ref.rpartition("-")[0],
        facts.flow,
        facts.ver,
        facts.definition,
        facts.trigger_id,
        facts.trigger_type,
        state.trigger_node,
        tags_text(facts.host_tags),
        tags_text(facts.resource_tags),
        facts.reuse_space,
        times.into(state.created_at or now),
    )


def run_opts_row(facts: RunFacts, state: RunState) -> tuple[Any, ...]:
    """A run's opts, which no step reads or writes again."""
    return (facts.number, dumps(state.opts))


def run_moving(state: RunState, times: Times) -> tuple[Any, ...]:
    """The part of a run's row that each step writes."""
    return (
        state.phase,
        state.outcome,
        clean(state.reason),
        state.host,
        state.epoch,
        state.host_lost,
        state.rev,
        state.seq,
        state.next_n,
        state.out,
        state.waiting,
        times.into(state.started_at),
        times.into(state.ended_at),
    )


def ref_of(row: Row) -> RunRef:
    """The name of the run of a `RUN` row."""
    return make_ref(row[_HUB], row[0])


def still_known(row: Row, known: StoredRun | None) -> StoredRun | None:
    """The known run if the row still has its rev, with the row's host and epoch: dispatchers set those without a
    rev, which belongs to the machine."""
    if known is None or known.state.rev != row[_REV] or known.facts.ref != ref_of(row):
        return None
    state, host, epoch = known.state, row[_HOST], row[_EPOCH]
    if state.host == host and state.epoch == epoch:
        return known
    return StoredRun(known.facts, replace(state, host=host, epoch=epoch))


def stored_run(row: Row, opts: str, activations: Sequence[Row], times: Times) -> StoredRun:
    """A run from its `RUN` row, its opts and the `ACTIVATION` rows that are open."""
    ref = ref_of(row)
    opened = {a.n: a for a in (activation_of(each, times) for each in activations)}
    facts = RunFacts(
        RunNumber(row[0]),
        ref,
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        tags_of(row[8]),
        tags_of(row[9]),
        bool(row[10]),
    )
    state = RunState(
        ref=ref,
        trigger_node=row[7],
        created_at=times.out_of(row[11]),
        phase=row[12],
        outcome=row[13],
        reason=row[14],
        host=row[15],
        epoch=row[16],
        host_lost=bool(row[17]),
        rev=row[18],
        seq=row[19],
        next_n=row[20],
        out=row[21],
        waiting=row[22],
        started_at=times.out_of(row[23]),
        ended_at=times.out_of(row[24]),
        opts=loads(opts),
        open=opened,
        merges=merge_index(opened),
    )
    return StoredRun(facts, state)


def activation_row(ref: RunRef, a: Activation, now: datetime, times: Times) -> tuple[Any, ...]:
    into = times.into
    return (
        number_of(ref),
        a.n,
        a.node,
        a.type,
        a.phase,
        a.is_open,
        a.process,
        a.accepted,
        clean_or_none(a.stopping),
        a.recording,
        into(a.queued_at),
        into(a.started_at),
        into(a.stopped_at),
        into(a.due_at),
        a.status,
        a.result,
        clean(a.reason),
        a.log_length,
        into(now),
        dumps(a.opts),
        dumps(list(a.came)),
        dumps(a.values),
    )


def activation_of(row: Row, times: Times) -> Activation:
    out_of = times.out_of
    return Activation(
        n=row[1],
        node=row[2],
        type=row[3],
        phase=row[4],
        process=row[6],
        accepted=bool(row[7]),
        stopping=row[8],
        recording=bool(row[9]),
        queued_at=out_of(row[10]),
        started_at=out_of(row[11]),
        stopped_at=out_of(row[12]),
        due_at=out_of(row[13]),
        status=row[14],
        result=row[15],
        reason=row[16],
        log_length=row[17],
        opts=loads(row[19]),
        came=tuple(loads(row[20])),
        values=loads(row[21]),
    )


def event_row(event: RunEvent, times: Times) -> tuple[Any, ...]:
    return (
        number_of(event.run),
        event.seq,
        event.tag,
        event.source_class,
        event.source_id,
        event.good,
        times.into(event.at),
        dumps(event.opts),
    )


def event_of(ref: RunRef, row: Row, times: Times) -> RunEvent:
    at = cast(datetime, times.out_of(row[6]))
    return RunEvent(ref, row[1], row[2], row[3], row[4], bool(row[5]), loads(row[7]), at)


def trigger_row(trigger: TriggerRow, now: datetime, times: Times) -> tuple[Any, ...]:
    return (
        trigger.id,
        trigger.type,
        trigger.state,
        trigger.flow,
        trigger.ver,
        trigger.trigger,
        trigger.broadcast,
        clean(trigger.actor),
        times.into(trigger.received_at or now),
        dumps(trigger.opts),
        dumps([[v.flow, v.matched, v.why] for v in trigger.verdicts]),
        dumps(list(trigger.runs)),
    )


def trigger_of(row: Row, times: Times) -> TriggerRow:
    return TriggerRow(
        id=row[0],
        type=row[1],
        state=row[2],
        flow=row[3],
        ver=row[4],
        trigger=row[5],
        broadcast=bool(row[6]),
        actor=row[7],
        received_at=times.out_of(row[8]),
        opts=loads(row[9]),
        verdicts=tuple(Verdict(*each) for each in loads(row[10])),
        runs=tuple(loads(row[11])),
    )


def by_run(rows: Sequence[Row]) -> Mapping[int, list[Row]]:
    """Rows grouped by their first column, in order."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found
