"""How runs are named: `HOST-N` (FLOWS D-01), the adopting hub's name and a number that is unique in the cluster."""

import re
from typing import NewType

from shared.errors import InvalidInput

RunRef = NewType("RunRef", str)
RunNumber = NewType("RunNumber", int)

_REF = re.compile(r"^([a-z0-9][a-z0-9_-]{0,63})-([1-9][0-9]{0,17})$")


def make_ref(host: str, number: int) -> RunRef:
    """The text form of a run's name."""
    return RunRef(f"{host}-{number}")


def parse_ref(text: str) -> tuple[str, RunNumber]:
    """Split a ref into host and number; N is what follows the last hyphen. Raises InvalidInput for anything else."""
    found = _REF.match(text)
    if found is None:
        raise InvalidInput(f"{text!r} is not a run ref: it reads HOST-N, as h1-42")
    return found[1], RunNumber(int(found[2]))


def number_of(ref: str) -> RunNumber:
    """The number in a ref that floe itself made (no check beyond int)."""
    return RunNumber(int(ref.rpartition("-")[2]))
