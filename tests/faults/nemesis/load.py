"""Mixed flows started one after the other while everything breaks; remembers what was promised to whom.

Every start carries an Idempotency-Key and is repeated until somebody says 202, or the load is told to end: what was
answered 202 must run exactly once, what was not may run once or never.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.faults.nemesis.flows import FLOWS, pick

_SENDERS = 3
_PATIENCE, _ACTS_SECONDS, _IN_QUEUE = 20.0, 110.0, 60.0


@dataclass
class Promise:
    """One start: `trigger` once it was answered 202."""

    key: str
    flow: str
    trigger: str | None = None
    ref: str | None = None
    accepted_at: float = 0.0
    acted: bool = False
    said: str = ""
    """What was answered to that, and when."""


@dataclass
class Load:
    """`start`, then `finish`; `promises` is all that was asked for."""

    client: Callable[[], AbstractContextManager[httpx.Client]]
    rng: random.Random
    per_second: float
    promises: list[Promise] = field(default_factory=list)
    repeats: int = 0
    refused: list[str] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _until: float = math.inf

    def start(self) -> None:
        """Begin to start runs."""
        seeds = [self.rng.getrandbits(32) for _ in range(_SENDERS)]
        for seed in seeds:
            self._threads.append(threading.Thread(target=self._send, args=(random.Random(seed),), daemon=True))
        self._threads.append(threading.Thread(target=self._act_all, daemon=True))
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Start no more; what is in hand is seen through, and people do what flows wait for."""
        self._until = time.monotonic() + _ACTS_SECONDS
        self._ending.set()
        for thread in self._threads:
            thread.join(_ACTS_SECONDS + _PATIENCE)
            if thread.is_alive():
                self.refused.append("a sender of the load did not come back")

    def dropped(self, when: Sequence[float], made: Collection[str]) -> set[str]:
        """Accepted triggers that may have been lost with their queue, and were: `made` are those with a run."""
        return {
            promise.trigger
            for promise in self.accepted
            if promise.trigger
            and promise.trigger not in made
            and any(at - _IN_QUEUE <= promise.accepted_at <= at + 1 for at in when)
        }

    @property
    def accepted(self) -> list[Promise]:
        """Those that must run."""
        return [promise for promise in self.promises if promise.trigger]

    def _send(self, rng: random.Random) -> None:
        while not self._ending.is_set():
            promise = Promise(f"{rng.getrandbits(64):x}", pick(rng))
            self.promises.append(promise)
            answer = self._insist("POST", f"/flows/{promise.flow}/runs", {"Idempotency-Key": promise.key}, {"opts": {}})
            if answer is not None:
                promise.trigger, promise.accepted_at = answer["trigger_id"], time.monotonic()
            self._ending.wait(rng.expovariate(self.per_second / _SENDERS))

    def _insist(self, method: str, path: str, headers: dict[str, str], body: object) -> dict[str, Any] | None:
        """Repeat until it is taken; None when the end came first. What is refused for good is remembered."""
        until = None
        while True:
            if until is None and self._ending.is_set():
                until = time.monotonic() + _PATIENCE
            if until is not None and time.monotonic() > until:
                return None
            try:
                with self.client() as api:
                    answer = api.request(method, path, headers=headers, json=body, timeout=15)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code in (200, 202):
                found: dict[str, Any] = answer.json()
                return found
            if answer is not None and answer.status_code < 500:
                self.refused.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
                return None
            if answer is not None and answer.status_code != 503:
                self.refused.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            self.repeats += 1
            time.sleep(0.3)

    def _act_all(self) -> None:
        """Answer the forms and cancel what is to be cancelled, each once it has come so far."""
        while True:
            ending = self._ending.is_set() and not any(sender.is_alive() for sender in self._threads[:-1])
            todo = [p for p in list(self.promises) if FLOWS[p.flow].act and p.trigger and not p.acted]
            if ending and not todo:
                return
            for promise in todo:
                try:
                    with self.client() as api:
                        promise.acted = self._acted(api, promise)
                except (httpx.HTTPError, KeyError, ValueError):
                    continue
            time.sleep(0.3)
            if time.monotonic() > self._until:
                return

    def _acted(self, api: httpx.Client, promise: Promise) -> bool:
        """Whether it was done, or needs no doing any more."""
        if promise.ref is None:
            runs = api.get(f"/triggers/{promise.trigger}").json().get("runs") or []
            if not runs:
                return False
            promise.ref = runs[0]["ref"]
        if FLOWS[promise.flow].act == "cancel":
            answer = api.post(f"/runs/{promise.ref}/cancel")
            promise.said = f"{answer.status_code} at {datetime.now(UTC):%H:%M:%S}"
            return answer.status_code in (200, 202, 409)
        run = api.get(f"/runs/{promise.ref}").json()
        if run["phase"] == "archive":
            return True
        asked = [node for node in run["nodes"] if node["id"] == "q" and node["status"] == "waiting"]
        if not asked:
            return any(node["id"] == "q" and node["status"] == "finished" for node in run["nodes"])
        answer = api.post(f"/runs/{promise.ref}/nodes/q/data", json={"values": {"n": "1"}})
        promise.said = f"{answer.status_code} at {datetime.now(UTC):%H:%M:%S}"
        return answer.status_code in (200, 202, 409)
