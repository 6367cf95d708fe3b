"""I6 and I7: nothing is left of what has ended, and nothing is stuck on its way."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.faults.nemesis.world import AGENTS, World
from tests.waiting import wait_until_blocking

_SHARED = ("triggers", "control", "reports", "logs", "hub.hints", "dispatcher", "dead")
_OWN = re.compile(r"floe\.(beats|live)\..+")
_LIST = (
    'lists:flatten([io_lib:format("~s ~p ~p ~p;", [element(4, N), R, U, C]) || '
    "[{{name, N}}, {{messages_ready, R}}, {{messages_unacknowledged, U}}, {{consumers, C}}] <- "
    'rabbit_amqqueue:info_all(<<"{vhost}">>, [name, messages_ready, messages_unacknowledged, consumers])]).'
)
_ROWS = {
    "claims": "SELECT key || ' of ' || run AS what FROM claim",
    "timers": "SELECT 'of run ' || run AS what FROM timer",
    "processes that are not gone": "SELECT run || '/' || n AS what FROM activation WHERE process = 'out'",
    "open activations": "SELECT run || '/' || n AS what FROM activation WHERE open",
    "triggers that nobody adopted": "SELECT id AS what FROM trigger_event WHERE state = 'inbox'",
    "incomplete logs": "SELECT run || '/' || n AS what FROM log WHERE gaps",
    "transactions": "SELECT pid || ' ' || left(query, 60) AS what FROM pg_stat_activity"
    " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    " AND now() - xact_start > interval '20 s'",
}
_CONNECTIONS = {"broker": 40, "database": 120}


def leftovers(world: World, seconds: float) -> list[str]:
    """What is still there after so long."""
    last: list[str] = []

    def gone() -> bool:
        last[:] = [*_rows(world), *_queues(world), *_tasks(world), *_connections(world)]
        return not last

    try:
        wait_until_blocking(gone, seconds, "nothing is left over")
    except AssertionError:
        return [f"{_rule(what)} left after {seconds:.0f} s: {what}" for what in last]
    return []


def _rule(what: str) -> str:
    return "I7" if what.startswith("queue") else "I6"


def _rows(world: World) -> list[str]:
    found = []
    for name, query in _ROWS.items():
        rows = world.query(query)
        if rows:
            found.append(f"{len(rows)} {name}: {', '.join(str(row['what']) for row in rows[:5])}")
    return found


def queues(world: World) -> dict[str, tuple[int, int, int]]:
    """Ready, unacknowledged and consumers of each queue."""
    answer = world.rabbit.evaluate(_LIST.format(vhost=world.vhost.rpartition("/")[2]))
    text = answer.partition('"')[2].rpartition('"')[0].replace("\\n", "")
    found = {}
    for entry in filter(None, text.split(";")):
        name, *numbers = entry.split()
        if all(number.isdigit() for number in numbers):
            ready, unacked, consumers = map(int, numbers)
            found[name] = (ready, unacked, consumers)
    return found


def _queues(world: World) -> list[str]:
    problems = []
    found = queues(world)
    for name, (ready, unacked, consumers) in found.items():
        if name == "floe.dead":
            if ready and not world.poison_sent:
                problems.append(f"queue {name} has {ready} dead letters")
        elif ready + unacked > 20 or (ready + unacked and name in ("floe.triggers", "floe.control")):
            problems.append(f"queue {name} has {ready} waiting and {unacked} in hand")
        elif not consumers:
            problems.append(f"queue {name} has no consumer")
    expected = {f"floe.{name}" for name in _SHARED} | {f"floe.agent.{host}" for host in AGENTS}
    strange = [name for name in found if name not in expected and not _OWN.fullmatch(name)]
    problems += [f"queue {name} is nobody's" for name in strange]
    problems += [f"queue {name} is not there" for name in expected - found.keys()]
    return problems


def _tasks(world: World) -> Sequence[str]:
    """Processes of tasks, and what agents keep of activations."""
    marker = str(world.evidence).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker in line:
                found.append(f"process {entry.name}: {line.replace(bytes(1), b' ').decode(errors='replace')[-90:]}")
    for host in AGENTS:
        kept = [path.name for path in (world.directory / host / "tasks").glob("*")]
        if kept:
            found.append(f"{host} keeps {len(kept)} activations: {', '.join(kept[:5])}")
    return found


def _connections(world: World) -> list[str]:
    broker = int(re.sub(r"\D", "", world.rabbit.evaluate("length(rabbit_networking:connections()).")) or 0)
    sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
    counts = {"broker": broker, "database": world.query(sql)[0]["n"]}
    return [f"{n} connections to the {name}" for name, n in counts.items() if n > _CONNECTIONS[name]]
