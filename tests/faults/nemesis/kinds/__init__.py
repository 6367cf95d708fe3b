"""Every fault of RELIABILITY §3 by its number: what is done here, and what this machine or this test cannot do."""

from tests.faults.nemesis.kinds import processes
from tests.faults.nemesis.kinds.fault import Fault

FAULTS: dict[str, Fault] = {fault.code: fault for fault in (*processes.FAULTS,)}
