"""Time in the hub: timers of runs, schedules of triggers (FLOWS T-04, N-08, §6 timer). Due by the database's clock."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from services.hub.engine import Engine
from services.hub.items import Advance, Fire
from services.hub.loop import Loop
from shared.flows.model import Node
from shared.flows.opts import parse_period
from shared.patience import set_within
from shared.runs.events import TimerFired
from shared.store.port import HubStore, Schedule, TriggerRow

IDLE_SECONDS = 1.0
LIMIT = 500
DEFAULT_PERIOD_SECONDS = 10
SCHEDULED = ("timer", "cron")


class Clock(Loop):
    """Fires what is due and sleeps until the next thing is, or until something is set that may be sooner."""

    name = "clock"

    def __init__(self, store: HubStore, engine: Engine) -> None:
        super().__init__()
        self._store, self._engine = store, engine
        self._generation = -1

    async def turn(self) -> float:
        """Fire everything that is due."""
        self._engine.timers_changed.clear()
        waits = [IDLE_SECONDS, await self._fire_timers(), await self._fire_schedules()]
        return max(0.0, min(waits))

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past a timer that was set meanwhile."""
        await set_within(self._engine.timers_changed, seconds)

    async def _fire_timers(self) -> float:
        now, timers = await self._store.due_timers(LIMIT)
        due = [timer for timer in timers if timer.due_at <= now]
        await self._engine.submit([Advance(t.run, (TimerFired(now, t.n, t.kind),)) for t in due])
        later = [timer.due_at for timer in timers if timer.due_at > now]
        return (min(later) - now).total_seconds() if later else IDLE_SECONDS

    async def _fire_schedules(self) -> float:
        await self._sync()
        now, schedules = await self._store.schedules()
        due = [schedule for schedule in schedules if schedule.next_at <= now]
        await self._engine.submit([_fire(schedule, now) for schedule in due])
        later = [schedule.next_at for schedule in schedules if schedule.next_at > now]
        return (min(later) - now).total_seconds() if later and not due else 0.0 if due else IDLE_SECONDS

    async def _sync(self) -> None:
        """Arm the triggers of the latest flows; the first fire is one period after the flow is known."""
        generation, flows = await self._store.latest_flows(self._generation)
        if generation == self._generation:
            return
        now, _ = await self._store.schedules()
        wanted = [
            Schedule(stored.flow.id, stored.flow.ver, node.id, spec_of(node), next_fire(spec_of(node), now, now))
            for stored in flows
            for node in stored.flow.triggers
            if node.type in SCHEDULED
        ]
        await self._store.sync_schedules(wanted)
        self._generation = generation


def spec_of(node: Node) -> str:
    """A trigger's rule as text: it is armed anew when this changes."""
    if node.type == "cron":
        return f"cron {node.opts.get('timezone', 'UTC')} {node.opts.get('expression')}"
    period = parse_period(node.opts.get("period", DEFAULT_PERIOD_SECONDS))
    return f"timer {max(1.0, period):g}"


def next_fire(spec: str, after: datetime, now: datetime) -> datetime:
    """The first fire later than `now` on the grid that `after` stands on: no drift, and what was missed is one."""
    kind, _, rest = spec.partition(" ")
    if kind == "timer":
        period = timedelta(seconds=float(rest))
        return after + period * (max(0, (now - after) // period) + 1)
    zone, _, expression = rest.partition(" ")
    local = max(after, now).astimezone(ZoneInfo(zone))
    return next(CronSim(expression, local)).astimezone(now.tzinfo)


def _fire(schedule: Schedule, now: datetime) -> Fire:
    trigger = TriggerRow(
        id=f"schedule/{schedule.flow}/{schedule.trigger}/{schedule.next_at.isoformat()}",
        type=schedule.spec.partition(" ")[0],
        state="inbox",
        opts={},
        flow=schedule.flow,
        trigger=schedule.trigger,
        actor="floe",
        received_at=now,
    )
    return Fire(schedule, next_fire(schedule.spec, schedule.next_at, now), trigger)
