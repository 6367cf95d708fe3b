"""Where to wait for the disk: in the loop while it answers at once, in a thread when it does not.

Handing a commit to a thread costs nothing on an idle machine, but under load the thread has to wait for the
interpreter's lock: 0.4 ms became 2 to 8 ms. A disk with a cache answers in 0.1 ms; one without would stop the loop.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

QUICK_SECONDS = 0.002
_PATIENCE = 3
_LOOK_AGAIN = 50


class Pace:
    """Three slow commits more than quick ones send them to the thread; every fiftieth tries the loop again."""

    def __init__(self) -> None:
        self._slow = 0
        self._since_looked = 0

    @property
    def in_loop(self) -> bool:
        """Whether the next commit may run in the loop."""
        if self._slow < _PATIENCE:
            return True
        self._since_looked += 1
        return self._since_looked % _LOOK_AGAIN == 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around a commit in the loop."""
        began = time.perf_counter()
        yield
        quick = time.perf_counter() - began < QUICK_SECONDS
        self._slow = max(0, self._slow - 1) if quick else min(_PATIENCE, self._slow + 1)
