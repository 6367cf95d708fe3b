"""Which hosts are there: takes their beats, answers them, and says when one is away or lost (RELIABILITY §1).

A host is lost only after silence during which this dispatcher itself heard what came: our own outage loses nobody.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from secrets import token_hex

import structlog

from services.dispatcher.config import DispatcherConfig
from shared.bus import messages as m
from shared.bus.port import Bus
from shared.placement import AgentRow, AgentState
from shared.runs.refs import RunRef
from shared.store.port import DispatcherStore, StoreUnavailable

log = structlog.get_logger()

MISSED_BEATS = 3


class Presence:
    """Beats in, answers out. Sets `wake` when a host came, came back, or changed."""

    def __init__(
        self,
        bus: Bus,
        store: DispatcherStore,
        config: DispatcherConfig,
        wake: asyncio.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._bus, self._store, self._config, self._wake = bus, store, config, wake
        self._name = token_hex(8)
        self._known: dict[str, tuple[object, ...]] = {}
        self._declared: set[str] = set()
        self._rows: dict[str, tuple[datetime | None, float]] = {}
        """When each host's row was last seen to move, by this process's clock."""
        self._heard_at = monotonic()
        self._hearing_since = self._heard_at

    async def handle(self, batch: Sequence[m.Message]) -> None:
        """Keep what the beats say and answer them; of one host's beats the latest counts."""
        beats: dict[str, m.Beat] = {}
        for message in batch:
            match message:
                case m.Beat():
                    beats[message.host] = message
                case m.DispatcherEcho(sender=sender) if sender == self._name:
                    self._hear()
        if not beats:
            return
        try:
            refused = await self._store.beat([_row(beat) for beat in beats.values()])
        except StoreUnavailable:
            self._hearing_since = self._monotonic()
            raise
        for host in beats.keys() - self._declared:
            await self._bus.declare_agent(host)
            self._declared.add(host)
        ended = await self._ended(beats.values())
        await self._bus.publish([self._answer(beat, refused.get(beat.host, ""), ended) for beat in beats.values()])
        self._notice(beats, refused.keys())

    async def _ended(self, beats: Iterable[m.Beat]) -> frozenset[RunRef]:
        asked = {RunRef(ref) for beat in beats for ref in beat.keeps}
        return await self._store.ended(asked) if asked else frozenset()

    def _answer(self, beat: m.Beat, refused: str, ended: frozenset[RunRef]) -> m.BeatAnswered:
        return m.BeatAnswered(
            id=f"{beat.id}/answer",
            at=datetime.now(UTC),
            host=beat.host,
            incarnation=beat.incarnation,
            number=beat.number,
            sent_ms=beat.sent_ms,
            lost_after_seconds=self._config.lost_after_seconds,
            refused=refused,
            ended=[ref for ref in beat.keeps if ref in ended],
        )

    def _notice(self, beats: dict[str, m.Beat], refused: object) -> None:
        for host, beat in beats.items():
            looks = (beat.incarnation, tuple(beat.tags), beat.slots, beat.leaving)
            if self._known.get(host) != looks:
                self._known[host] = looks
                self._wake.set()
                log.info("host.seen", host=host, tags=",".join(beat.tags), slots=beat.slots, leaving=beat.leaving)

    def _hear(self) -> None:
        now = self._monotonic()
        if self._is_deaf(now):
            self._hearing_since = now
        self._heard_at = now

    def _is_deaf(self, now: float) -> bool:
        return now - self._heard_at > MISSED_BEATS * self._config.presence_seconds + 1

    def _heard_for(self) -> float:
        """For how many seconds this dispatcher has heard everything without a break; 0 while it hears nothing."""
        now = self._monotonic()
        return 0.0 if self._is_deaf(now) else now - self._hearing_since

    async def watch_for_ever(self) -> None:
        """Look at the silent ones, again and again."""
        while True:
            await asyncio.sleep(self._config.presence_seconds)
            try:
                await self._echo()
                await self.watch_once()
            except StoreUnavailable as error:
                self._hearing_since = self._monotonic()
                log.warning("dispatcher.store_away", error=str(error))
            except Exception:
                log.exception("dispatcher.presence_failed")

    async def _echo(self) -> None:
        now = self._monotonic()
        await self._bus.publish([m.DispatcherEcho(id=f"{self._name}/{now}", at=datetime.now(UTC), sender=self._name)])

    async def watch_once(self) -> None:
        """Declare hosts away or lost, and take back what a lost one never started."""
        _, agents = await self._store.agents()
        away_after = MISSED_BEATS * self._config.beat_seconds
        for agent in agents:
            silent = min(self._silent_for(agent), self._heard_for())
            if agent.last_seen_at is None or agent.state not in ("up", "away", "left"):
                continue
            if silent > self._config.lost_after_seconds:
                await self._declare(agent, "lost", agent.last_seen_at)
            elif silent > away_after and agent.state == "up":
                await self._declare(agent, "away", agent.last_seen_at)
        if any(agent.state in ("lost", "left", "deleted") for agent in agents) and await self._store.unassign_lost():
            self._wake.set()

    def _silent_for(self, agent: AgentRow) -> float:
        """For how many seconds its row has not moved under this dispatcher's eyes. The database's clock may jump, so
        what it says is only told apart, never subtracted."""
        now = self._monotonic()
        seen_at, since = self._rows.get(agent.host, (None, now))
        if seen_at != agent.last_seen_at:
            since = now
        self._rows[agent.host] = (agent.last_seen_at, since)
        return now - since

    async def _declare(self, agent: AgentRow, state: AgentState, unless_seen_after: datetime) -> None:
        if not await self._store.set_agent_state(agent.host, state, unless_seen_after):
            return
        log.warning("host.silent", host=agent.host, state=state)
        self._known.pop(agent.host, None)
        if state == "lost":
            await self._bus.publish([m.HostGone(id=f"{agent.host}/gone", at=datetime.now(UTC), host=agent.host)])


def _row(beat: m.Beat) -> AgentRow:
    return AgentRow(
        host=beat.host,
        tags=tuple(beat.tags),
        slots=beat.slots,
        state=_state(beat),
        used=beat.used,
        running=beat.running,
        version=beat.version,
        installation=beat.installation,
        incarnation=beat.incarnation,
        ephemeral=beat.ephemeral,
        disk_free_bytes=beat.disk_free_bytes,
    )


def _state(beat: m.Beat) -> AgentState:
    """One that goes for good has left; one that will be back is away, so that it is given nothing meanwhile."""
    if not beat.leaving:
        return "up"
    return "left" if beat.ephemeral else "away"
