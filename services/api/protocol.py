"""What a connection may do before anybody knows who speaks: send a request's head, soon, and not without end.

uvicorn bounds neither the size of a head nor the time that it takes, and says in plain text that it cannot read one.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.problems import problem

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0


class BoundedProtocol(HttpToolsProtocol):
    """HTTP whose heads take at most `HEAD_BYTES`, in steps of what one read brings, and `HEAD_SECONDS`."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head, self._came = True, 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first head is due."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._late = self.loop.call_later(self.head_seconds, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; refuse a head that is too long."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            self._in_time()
            return
        self._came += len(data)
        if self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self._too_late)
        if self._came > HEAD_BYTES:
            self._refuse(431, f"The head of the request is longer than {HEAD_BYTES} bytes, the most that is taken.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._came = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It ends."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, msg)

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._refuse(408, f"No complete request came within {self.head_seconds:g} s.")

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int, detail: str) -> None:
        """Answer and hang up; without an answer where one of an earlier request is under way."""
        if self.cycle is None or self.cycle.response_complete:
            answer = problem(status, detail, headers={"Connection": "close"})
            head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()]
            head += [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
            self.transport.write(b"".join(head) + b"\r\n" + bytes(answer.body))
        self.transport.close()
