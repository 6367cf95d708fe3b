"""Stands for hub and dispatcher over the in-process bus: offers, records what is reported, settles, answers beats."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.bus import messages as m
from shared.bus.memory import MemoryBus
from shared.bus.port import BEATS, LOGS, REPORTS, Subscription
from tests.waiting import wait_until

HOST = "h"
LOST_AFTER = 300.0


class Hub:
    """`settles` and `answers` may be switched off and on; `reports` has every copy that came."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.settles = self.answers = True
        self.lost_after = LOST_AFTER
        self.refused = ""
        self.reports: list[m.AgentReport] = []
        self.beats: list[m.Beat] = []
        self.logs: dict[tuple[str, int], bytearray] = {}
        self.chunks: list[m.OutputChunk] = []
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        for queue, handler in ((REPORTS, self._on_reports), (LOGS, self._on_logs), (BEATS, self._on_beats)):
            self._subscriptions.append(await self.bus.subscribe(queue, handler))

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.stop()

    # --- says ---------------------------------------------------------------------------------------------------

    async def offer(self, run: str, n: int = 1, *, sh: str | None = None, **more: Any) -> m.TaskOffered:
        """An exec task; `sh` is its shell text, else `definition` says what to do."""
        known = {"epoch": 1, "host": HOST, "flow": "f", "ver": 1, "node": "x", "task": "exec"}
        known["definition"] = {"shell": sh} if sh is not None else {"cmd": "true"}
        offer = m.TaskOffered(id=f"{run}/{n}/offer", at=now(), run=run, n=n, **{**known, **more})
        await self.bus.publish([offer])
        return offer

    async def ask_to_stop(self, run: str, n: int = 1) -> None:
        await self.bus.publish([m.StopRequested(id=f"{run}/{n}/stop", at=now(), run=run, n=n, epoch=1, host=HOST)])

    async def settle(self, reports: Sequence[m.AgentReport]) -> None:
        found = [(kind_of(report), report.run, report.n) for report in reports]
        await self.bus.publish([m.ReportSettled(id="settled", at=now(), host=HOST, reports=found)])

    # --- knows --------------------------------------------------------------------------------------------------

    def kinds(self, run: str, n: int = 1) -> list[str]:
        """Which reports came, in order, each kind once."""
        return list(dict.fromkeys(kind_of(r) for r in self.reports if (r.run, r.n) == (run, n)))

    def finished(self, run: str, n: int = 1) -> m.FinishedReport | None:
        """The first report of its end."""
        for report in self.reports:
            if isinstance(report, m.FinishedReport) and (report.run, report.n) == (run, n):
                return report
        return None

    async def ended(self, run: str, n: int = 1, *, seconds: float = 15.0) -> m.FinishedReport:
        """Its end, once it is reported and the log is here completely."""
        report = await wait_until(lambda: self.finished(run, n), seconds, f"the end of {run}/{n}")
        assert report is not None
        length = report.log_length
        await wait_until(lambda: len(self.log(run, n)) >= length, seconds, f"{length} bytes of log of {run}/{n}")
        return report

    async def prints(self, text: bytes, run: str, n: int = 1) -> None:
        """Wait until its log holds `text`."""
        await wait_until(lambda: text in self.log(run, n), 10, f"{text!r} in the log of {run}/{n}")

    def log(self, run: str, n: int = 1) -> bytes:
        return bytes(self.logs.get((run, n), b""))

    # --- hears --------------------------------------------------------------------------------------------------

    async def _on_reports(self, batch: Sequence[m.Message]) -> None:
        reports = [message for message in batch if isinstance(message, m.AgentReport)]
        self.reports += reports
        if self.settles:
            await self.settle(reports)

    async def _on_logs(self, batch: Sequence[m.Message]) -> None:
        for chunk in batch:
            assert isinstance(chunk, m.OutputChunk)
            self._store(chunk)
            if self.settles:
                offsets = [(chunk.run, chunk.n, len(self.logs[chunk.run, chunk.n]))]
                await self.bus.publish([m.OutputSettled(id="stored", at=now(), host=HOST, offsets=offsets)])

    def _store(self, chunk: m.OutputChunk) -> None:
        log = self.logs.setdefault((chunk.run, chunk.n), bytearray())
        assert len(chunk.data) <= 256 * 1024
        assert chunk.offset <= len(log), f"a gap before {chunk.offset}, known are {len(log)}"
        log[chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
        self.chunks.append(m.OutputChunk(**{**_fields(chunk), "data": b""}))

    async def _on_beats(self, batch: Sequence[m.Message]) -> None:
        for beat in batch:
            assert isinstance(beat, m.Beat)
            self.beats.append(beat)
            if self.answers:
                await self.bus.publish([self._answer(beat)])

    def _answer(self, beat: m.Beat) -> m.BeatAnswered:
        return m.BeatAnswered(
            id=f"{beat.id}/answer",
            at=now(),
            host=beat.host,
            incarnation=beat.incarnation,
            number=beat.number,
            sent_ms=beat.sent_ms,
            lost_after_seconds=self.lost_after,
            refused=self.refused,
        )


def kind_of(report: m.AgentReport) -> str:
    return type(report).__name__.removesuffix("Report").lower()


def now() -> datetime:
    return datetime.now(UTC)


def _fields(message: m.OutputChunk) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
