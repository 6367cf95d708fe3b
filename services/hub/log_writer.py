"""Stores what tasks print, and tells their agents how far it is stored."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from shared.bus import messages as m
from shared.bus.port import Bus
from shared.runs.refs import RunRef
from shared.store.port import HubStore, LogChunk


class LogWriter:
    """The handler of the logs' queue. A chunk that comes twice changes nothing."""

    def __init__(self, bus: Bus, store: HubStore) -> None:
        self._bus, self._store = bus, store

    async def handle(self, batch: Sequence[m.Message]) -> None:
        """Store a batch of chunks in one transaction, then settle them and wake who watches."""
        outputs = [message for message in batch if isinstance(message, m.OutputChunk)]
        if not outputs:
            return
        stored = await self._store.append_output(
            [LogChunk(RunRef(chunk.run), chunk.n, chunk.offset, chunk.data) for chunk in outputs]
        )
        await self._bus.publish(list(_answers(outputs, stored)))


def _answers(outputs: Sequence[m.OutputChunk], lengths: Mapping[tuple[RunRef, int], int]) -> list[m.Message]:
    now = datetime.now(UTC)
    hosts = {(RunRef(chunk.run), chunk.n): chunk.host for chunk in outputs}
    by_host: dict[str, list[tuple[str, int, int]]] = {}
    for (run, n), length in lengths.items():
        by_host.setdefault(hosts[run, n], []).append((run, n, length))
    answers: list[m.Message] = [
        m.OutputSettled(id=f"output/{host}", at=now, host=host, offsets=offsets) for host, offsets in by_host.items()
    ]
    answers += [
        m.LogGrew(id=f"{run}/{n}/log", at=now, run=run, n=n, length=length) for (run, n), length in lengths.items()
    ]
    return answers
