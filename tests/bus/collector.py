"""A handler that remembers what it got, and does as it is told."""

import asyncio
from collections.abc import Callable, Sequence

from shared.bus.messages import Message


class Collector:
    """`fail` decides by batch number whether to raise; while `gate` is closed a call waits in the handler."""

    def __init__(self, fail: Callable[[int], bool] = lambda _: False) -> None:
        self.batches: list[list[str]] = []
        self.tried: list[list[str]] = []
        self.messages: list[Message] = []
        self.running = self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._fail = fail

    async def __call__(self, messages: Sequence[Message]) -> None:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            self.tried.append([message.id for message in messages])
            await self.gate.wait()
            if self._fail(len(self.tried)):
                raise RuntimeError("told to fail")
            self.batches.append([message.id for message in messages])
            self.messages.extend(messages)
        finally:
            self.running -= 1

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.messages]
