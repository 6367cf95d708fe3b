"""Tells the hub what became of offers: at once, in few publishes, and again until it says that it knows."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from services.agent.activation import Activation
from services.agent.owned import Owned
from shared.bus.messages import AcceptedReport, AgentReport, FinishedReport
from shared.bus.port import Bus, BusUnavailable

log = structlog.get_logger()

HOLD_SECONDS = 0.004
_IN_FLIGHT = 2
_LOOK_SECONDS = 1.0
_BACKOFF_SECONDS = 1.0


class Reporter:
    """`unsettled` lists the activations that still have something to tell; it is asked again and again.

    A report in hand is only a copy of what is on disk, so one that cannot be published is dropped here: the next look
    sends it again.
    """

    def __init__(self, bus: Bus, unsettled: Callable[[], Iterable[Activation]], resend_seconds: float) -> None:
        self._bus, self._unsettled, self._resend = bus, unsettled, resend_seconds
        self._pending: dict[str, AgentReport] = {}
        self._wake = asyncio.Event()
        self._held: asyncio.TimerHandle | None = None
        self._free = asyncio.Semaphore(_IN_FLIGHT)
        self._flying = 0
        self._owned = Owned("agent reports")

    def start(self) -> None:
        """Begin to send."""
        self._owned.spawn(self._send_for_ever())
        self._owned.spawn(self._look_for_ever())

    async def stop(self, seconds: float = 5.0) -> None:
        """Send what is in hand, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while self._pending or self._flying:
                    self._wake.set()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning("agent.reports_left", count=len(self._pending))
        if self._held:
            self._held.cancel()
        await self._owned.stop()

    def tell(self, activation: Activation, *, hold: bool = False, first: AgentReport | None = None) -> None:
        """Send the reports that were not sent yet, `first` before them; with `hold` up to 4 ms later, so that the next
        one rides along."""
        if first is not None:
            self._pending[first.id] = first
        self._put(activation, before=0.0)
        self._ring(hold)

    def answer(self, activation: Activation) -> None:
        """Somebody asked: send all that is unsettled."""
        self._put(activation, before=asyncio.get_running_loop().time())
        self._ring(hold=False)

    def tell_again(self, report: AgentReport) -> None:
        """Send one that is settled already, because somebody asked."""
        self._pending[report.id] = report
        self._ring(hold=False)

    def _put(self, activation: Activation, *, before: float) -> bool:
        """Take in hand what was last sent before then, or never."""
        now, found = asyncio.get_running_loop().time(), False
        for kind, report in activation.unsettled():
            if activation.told_at.get(kind, 0.0) <= before:
                activation.told_at[kind] = now
                self._pending[report.id] = report
                found = True
        return found

    def _ring(self, hold: bool) -> None:
        if not hold:
            self._wake.set()
        elif self._held is None or self._held.cancelled() or self._held.when() < asyncio.get_running_loop().time():
            self._held = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._wake.set)

    async def _send_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            await self._free.acquire()
            self._wake.clear()
            batch, self._pending = list(self._pending.values()), {}
            ended = {(report.run, report.n) for report in batch if isinstance(report, FinishedReport)}
            batch = [r for r in batch if not (isinstance(r, AcceptedReport) and (r.run, r.n) in ended)]
            if batch:
                self._owned.spawn(self._publish(batch))
            else:
                self._free.release()

    async def _publish(self, batch: list[AgentReport]) -> None:
        self._flying += 1
        try:
            await self._bus.publish(batch)
        except BusUnavailable as error:
            log.warning("agent.reports_not_taken", count=len(batch), error=str(error))
            await asyncio.sleep(_BACKOFF_SECONDS)
            for activation in self._unsettled():
                activation.told_at.clear()
        finally:
            self._flying -= 1
            self._free.release()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            before = asyncio.get_running_loop().time() - self._resend
            found = [self._put(activation, before=before) for activation in list(self._unsettled())]
            if any(found):
                self._ring(hold=False)
