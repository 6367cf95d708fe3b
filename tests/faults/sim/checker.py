"""The invariants of RELIABILITY §3, judged by what hosts recorded and people were told, not by the store alone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from shared.placement import claim_key, space_key
from shared.runs.refs import number_of
from tests.faults.sim.database import Run
from tests.faults.sim.machine import Doing
from tests.faults.sim.world import World


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken, and how."""

    rule: str
    text: str


def check(world: World) -> list[Violation]:
    """Everything that is wrong with a world that has come to rest, or should have."""
    found = [Violation("error", text) for text in world.errors]
    if not world.converged:
        return [*found, *(Violation("I4", f"not at rest: {text}") for text in world.left)]
    for rule in (_accepted, _scheduled, _chained, _started_once, _tags, _logs, _ends, _nothing_left):
        found += rule(world)
    return found


def _doings(world: World) -> list[Doing]:
    return [doing for machine in world.machines.values() for doing in machine.record]


def _runs_of(world: World, trigger_id: str) -> list[Run]:
    return [run for run in world.database.runs.values() if run.facts.trigger_id == trigger_id]


def _accepted(world: World) -> Iterator[Violation]:
    """I1: what was promised exists once for each flow, what was only asked for at most once."""
    for wish in world.people.wishes:
        flows = [wish.flow] if wish.flow is not None else [flow.id for flow in world.flows]
        for trigger_id in sorted(wish.asked):
            made = Counter(run.facts.flow for run in _runs_of(world, trigger_id))
            lost = trigger_id not in wish.promised or trigger_id in world.bus.wiped
            for flow in flows:
                if made[flow] > 1 or (made[flow] == 0 and not lost):
                    yield Violation("I1", f"{wish.token} of {flow} made {made[flow]} runs")
    seen: dict[tuple[str, str], set[str]] = {}
    for doing in _doings(world):
        if token := str(doing.offer.opts.get("token", "")):
            seen.setdefault((token, doing.offer.flow), set()).add(doing.offer.run)
    wishes = {wish.token: len(wish.asked) for wish in world.people.wishes}
    for (token, flow), runs in seen.items():
        if len(runs) > wishes.get(token, 0):
            yield Violation("I1", f"hosts saw {token} of {flow} in {sorted(runs)}, asked {wishes.get(token, 0)} times")


def _scheduled(world: World) -> Iterator[Violation]:
    made = Counter(run.facts.trigger_id for run in world.database.runs.values() if run.facts.trigger_type == "timer")
    yield from (Violation("I1", f"{trigger} made {many} runs") for trigger, many in made.items() if many > 1)


def _chained(world: World) -> Iterator[Violation]:
    """FLOWS T-01 flow: every end of the first flow started the one that waits for it, once."""
    followers = [flow for flow in world.flows if any(node.type == "flow" for node in flow.triggers)]
    for flow in followers:
        for run in [run for run in world.database.runs.values() if run.facts.flow == "f0"]:
            made = [each for each in _runs_of(world, f"flow/{run.facts.ref}") if each.facts.flow == flow.id]
            if len(made) != 1:
                yield Violation("I1", f"the end of {run.facts.ref} started {flow.id} {len(made)} times")


def _started_once(world: World) -> Iterator[Violation]:
    """I2."""
    starts = Counter(doing.key for doing in _doings(world))
    yield from (Violation("I2", f"{key} was started {many} times") for key, many in starts.items() if many > 1)
    for doing in _doings(world):
        if world.bus.never.get(doing.key, doing.started_at) < doing.started_at:
            yield Violation("I2", f"{doing.key} was started after its host had said that it never would be")


def _tags(world: World) -> Iterator[Violation]:
    """I3: from a run's first process to its last nobody else has a process under the same tag or in the workspace."""
    flows = {flow.id: flow for flow in world.flows}
    spans: dict[str, dict[str, tuple[float, float]]] = {}
    for doing in _doings(world):
        flow = flows[doing.offer.flow]
        keys = [claim_key(tag, doing.host) for tag in flow.resource_tags]
        if flow.reuse_space:
            keys.append(space_key(flow.id, doing.host))
        end = doing.ended_at if doing.ended_at is not None else world.loop.now
        for key in keys:
            begun, over = spans.setdefault(key, {}).get(doing.offer.run, (doing.started_at, end))
            spans[key][doing.offer.run] = (min(begun, doing.started_at), max(over, end))
    for key, held in spans.items():
        order = sorted(held.items(), key=lambda each: each[1])
        for (run, (_, over)), (other, (begun, _)) in pairwise(order):
            if begun < over:
                yield Violation("I3", f"{key} was held by {run} until {over:.3f} and by {other} from {begun:.3f}")


def _logs(world: World) -> Iterator[Violation]:
    """I5."""
    for doing in _doings(world):
        key = (number_of(doing.offer.run), doing.offer.n)
        stored = bytes(world.database.logs.get(key, (b"", None))[0])
        if stored != bytes(doing.text):
            yield Violation("I5", f"{doing.key} printed {len(doing.text)} bytes, stored are {len(stored)}")


def _ends(world: World) -> Iterator[Violation]:
    """What the store says of an activation is what its host did: an end that was seen, with its status."""
    doings = {doing.key: doing for doing in _doings(world)}
    for run in world.database.runs.values():
        for n, activation in run.activations.items():
            doing = doings.get(f"{run.facts.ref}/{n}")
            if activation.status is None or activation.type != "exec":
                continue
            if doing is None or doing.status != activation.status:
                seen = doing.status if doing is not None else "no start"
                yield Violation("ends", f"{run.facts.ref}/{n} has status {activation.status}, its host saw {seen}")
        numbers = sorted(event.seq for event in run.events)
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation("events", f"{run.facts.ref} has events {numbers}")


def _nothing_left(world: World) -> Iterator[Violation]:
    """I6, I7."""
    database = world.database
    yield from (Violation("I7", f"dead letter: {letter.reason}") for letter in world.bus.dead)
    yield from (Violation("I6", f"{claim.key} is still held by {claim.run}") for claim in database.claims.values())
    yield from (Violation("I6", f"timer {timer.kind} of {timer.run}/{timer.n}") for timer in database.timers.values())
