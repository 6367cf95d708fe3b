"""An agent in a process of its own, to be killed: `python -m tests.services.agent.lone ROOT STATE`.

Offers come as lines on standard input (`RUN N SHELL`). What a hub would have stored is kept in STATE: `logs/RUN.N`, and
a line for each report in `reports`.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from services.agent.service import AgentConfig, AgentService
from shared.bus import messages as m
from shared.bus.memory import MemoryBus
from shared.observability import configure_logs
from tests.services.agent.hub import HOST, Hub, kind_of


class DiskHub(Hub):
    """Keeps what it stores on disk."""

    def __init__(self, bus: MemoryBus, state: Path) -> None:
        super().__init__(bus)
        self._state = state
        (state / "logs").mkdir(parents=True, exist_ok=True)

    async def _on_reports(self, batch: Sequence[m.Message]) -> None:
        with (self._state / "reports").open("a") as file:
            for report in batch:
                assert isinstance(report, m.AgentReport)
                status = report.status if isinstance(report, m.FinishedReport) else ""
                length = report.log_length if isinstance(report, m.FinishedReport) else ""
                file.write(f"{kind_of(report)} {report.run}/{report.n} {status} {length}\n")
        await super()._on_reports(batch)

    def _store(self, chunk: m.OutputChunk) -> None:
        path = self._state / "logs" / f"{chunk.run}.{chunk.n}"
        with path.open("ab") as file:
            assert chunk.offset <= file.tell(), f"a gap before {chunk.offset}"
            file.truncate(chunk.offset)
            file.write(chunk.data)
        self.logs[chunk.run, chunk.n] = bytearray(chunk.offset + len(chunk.data))


async def main(root: Path, state: Path) -> None:
    bus = MemoryBus()
    hub = DiskHub(bus, state)
    await hub.start()
    agent = AgentService(bus, AgentConfig(HOST, root, beat_seconds=0.5, resend_seconds=0.5, grace_seconds=1.0))
    await agent.start()
    print("ready", agent.spawner_pid, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        run, n, script = line.rstrip("\n").split(" ", 2)
        if script == "STOP":
            await hub.ask_to_stop(run, int(n))
        else:
            await hub.offer(run, int(n), sh=script)
    await agent.stop()
    await hub.stop()
    await bus.close()


if __name__ == "__main__":
    configure_logs("text", "warning")
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
