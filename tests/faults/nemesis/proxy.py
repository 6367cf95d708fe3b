"""Our own TCP proxy between each service and each server (X5): it can hold, delay, cut and reset what passes."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.servers import free_port

T = TypeVar("T")
_PIECE = 65_536


@dataclass(eq=False)
class Line:
    """What stands between one service and one server. Attributes may be set from any thread; they act on what follows.

    `hold_up`, `hold_down`: bytes to or from the server wait, as in a black hole that heals. `delay` is seconds for each
    piece, `cut` the chance that a piece goes half its way and the connection is reset, `refuse` resets whoever comes.
    """

    port: int
    target: int
    hold_up: bool = False
    hold_down: bool = False
    delay: float = 0.0
    cut: float = 0.0
    refuse: bool = False
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def pass_all(self) -> None:
        """As if it were not there."""
        self.hold_up = self.hold_down = self.refuse = False
        self.delay = self.cut = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        if self.refuse:
            reset(writer)
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        both = {writer, back}
        self.writers |= both
        pumps = [
            asyncio.create_task(self._pump(reader, back, lambda: self.hold_up)),
            asyncio.create_task(self._pump(there, writer, lambda: self.hold_down)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self.writers -= both
            for each in both:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: Callable[[], bool]) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(_PIECE):
                while held():  # noqa: ASYNC110 - set from other threads
                    await asyncio.sleep(0.05)
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.cut and random.random() < self.cut:
                    writer.write(data[: len(data) // 2])
                    with suppress(OSError):
                        await writer.drain()
                    await asyncio.sleep(0.01)
                    reset(writer)
                    return
                writer.write(data)
                await writer.drain()

    def reset_all(self) -> None:
        """Reset every connection. In the loop's thread only."""
        for writer in list(self.writers):
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """End it with RST."""
    found = writer.get_extra_info("socket")
    with suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Loop:
    """An event loop in a thread, for the lines and for whatever else of the nemesis waits on sockets."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Do it there, wait for it here. Raises what it raised, or TimeoutError."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def line(self, target: int) -> Line:
        """A new line to a port of 127.0.0.1."""
        line = Line(free_port(), target)

        async def listen() -> None:
            self._servers.append(await asyncio.start_server(line.serve, "127.0.0.1", line.port))

        self.run(listen())
        return line

    def reset(self, line: Line) -> None:
        """Reset every connection of it."""
        self._loop.call_soon_threadsafe(line.reset_all)

    def close(self) -> None:
        """End all connections and the loop."""

        async def end() -> None:
            for server in self._servers:
                server.close()
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with suppress(TimeoutError):
            self.run(end(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if not self._thread.is_alive():
            self._loop.close()
