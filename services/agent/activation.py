"""One activation on this host: what it was offered as, where it stands, and what the hub is still to be told of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from services.agent.log_file import LogFile
from shared.bus.messages import AcceptedReport, AgentReport, FinishedReport, OutputChunk, StartedReport, TaskOffered

Phase = Literal["new", "queued", "starting", "running", "ended"]
KINDS = ("accepted", "started", "finished")


def key_of(run: str, n: int) -> str:
    """The journal's key."""
    return f"{run}/{n}"


@dataclass(slots=True, eq=False)
class Activation:
    """`offer` is None for a tombstone, which has nothing but its finished report."""

    key: str
    host: str
    offer: TaskOffered | None
    directory: Path
    """The spawner's: `log`, `tail`, `end`, and `scratch/`."""
    phase: Phase = "new"
    boot: str = ""
    """Under which start of the machine it was taken, when that was in an earlier life of this agent."""
    log: LogFile = field(init=False)
    handed: bool = False
    handed_to: str = ""
    """The spawner has been asked to start it."""
    reports: dict[str, AgentReport] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    told_at: dict[str, float] = field(default_factory=dict)
    """When each kind of report was last sent, monotonic."""
    sent: int = 0
    stored: int = 0
    moved_at: float = 0.0
    """When `stored` last grew, or bytes were first sent after it had caught up; monotonic."""
    may_cut: bool = False
    """The next chunk need not be full."""

    def __post_init__(self) -> None:
        self.log = LogFile(self.directory)

    @property
    def live(self) -> bool:
        """It has processes, or will have."""
        return self.phase != "ended"

    @property
    def exclusive(self) -> bool:
        """Its run holds resource tags, which are another's once this host is lost."""
        return self.offer is not None and self.offer.exclusive

    @property
    def over(self) -> bool:
        """Everything is with the hub."""
        return "finished" in self.settled and self.stored >= (self.log.length or 0)

    def unsettled(self) -> Iterator[tuple[str, AgentReport]]:
        """The reports that the hub has not confirmed, by kind; an end says that it was accepted, too."""
        for kind in KINDS:
            report = self.reports.get(kind)
            if report is None or kind in self.settled or "finished" in self.settled:
                continue
            if kind == "accepted" and "finished" in self.reports:
                continue
            yield kind, report

    def accepted(self) -> None:
        """Have it reported that the offer is in the journal."""
        self.reports["accepted"] = AcceptedReport(**self._about("accepted"))

    def started(self, at: float) -> None:
        """Have the start reported, at that time by this host's clock."""
        self.phase = "running"
        self.reports.setdefault("started", StartedReport(**self._about("started", at)))

    def finished(self, report: FinishedReport) -> None:
        """Have the end reported."""
        self.phase = "ended"
        self.reports["finished"] = report

    def finish_with(self, at: float | None = None, **what: Any) -> FinishedReport:
        """The report of an end (fields of FinishedReport)."""
        return FinishedReport(**self._about("finished", at), **what)

    def chunk(self, offset: int, data: bytes) -> OutputChunk:
        """A piece of the log."""
        return OutputChunk(**self._about(f"log/{offset}"), offset=offset, data=data)

    def _about(self, kind: str, at: float | None = None) -> Mapping[str, Any]:
        assert self.offer is not None
        offer = self.offer
        return {
            "id": f"{self.key}/{kind}",
            "at": datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC),
            "trace": offer.trace,
            "run": offer.run,
            "n": offer.n,
            "epoch": offer.epoch,
            "host": self.host,
        }
