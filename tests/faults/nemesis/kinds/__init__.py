"""Every fault of RELIABILITY §3 by its number: what is done here, and what this machine or this test cannot do."""

from tests.faults.nemesis.kinds import broker, bus, clients, crash, database, hosts, links, processes, tasks
from tests.faults.nemesis.kinds.fault import Fault

_ROOMS = (processes, crash, links, broker, bus, database, hosts, tasks, clients)
FAULTS: dict[str, Fault] = {
    fault.code: fault
    for fault in sorted((fault for room in _ROOMS for fault in room.FAULTS), key=lambda fault: int(fault.code[1:]))
}
