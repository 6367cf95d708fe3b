"""What goes wrong in a world: how often by nature, and when on purpose. All drawn from the seed, and counted."""

import random
from collections import Counter
from dataclasses import dataclass, field

KINDS = (
    "hint_lost", "hint_doubled", "hint_delayed", "kept_doubled", "kept_shuffled", "publish_lost", "confirm_lost",
    "ack_lost", "store_before", "store_after", "store_conflict", "store_slow",
)  # fmt: skip


@dataclass
class Faults:
    """Rates are probabilities per message or call. `calm` ends everything."""

    random: random.Random
    rates: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    active: bool = True

    def draw_rates(self) -> None:
        """Some worlds are hostile in one way, some in all, some hardly at all (a swarm finds more than an average)."""
        strength = self.random.choice([0.0, 0.3, 1.0, 1.0, 2.0])
        for kind in KINDS:
            if self.random.random() < 0.6:
                self.rates[kind] = strength * self.random.choice([0.01, 0.03, 0.1, 0.2])
        for kind in ("store_before", "store_after", "store_conflict", "publish_lost", "confirm_lost"):
            self.rates[kind] = self.rates.get(kind, 0.0) * 0.3

    def calm(self) -> None:
        """From now on everything works."""
        self.active = False

    def strikes(self, kind: str) -> bool:
        """Whether that happens now."""
        if not self.active:
            return False
        rate = self.rates.get(kind, 0.0)
        if rate and self.random.random() < rate:
            self.counts[kind] += 1
            return True
        return False

    def count(self, kind: str, many: int = 1) -> None:
        """It happened."""
        self.counts[kind] += many

    def latency(self) -> float:
        """Seconds on the way."""
        return self.random.random() * 0.01

    def delay(self) -> float:
        """Seconds in which others overtake: mostly short, now and then long."""
        return self.random.choice([0.02, 0.1, 0.5, 2.0, 5.0]) * self.random.random()

    def fate_of_hint(self) -> tuple[float, ...]:
        """The delays of its copies: none when it is lost; 0 goes with its neighbours."""
        if not self.active:
            return (0.0,)
        if self.strikes("hint_lost"):
            return ()
        first = self.delay() if self.strikes("hint_delayed") else 0.0
        return (first, self.delay()) if self.strikes("hint_doubled") else (first,)
