"""The spawner's end of the socket to its agent: JSON lines both ways, one agent at a time."""

import json
import os
import socket
import struct
import traceback
from collections.abc import Callable
from typing import Any

_OUT_LIMIT = 4 << 20
_LONGEST_LINE = 64 << 20
_CREDENTIALS = 17


class Gone(Exception):
    """The agent hung up, or took nothing for too long. It learns what it missed when it attaches again."""


class Link:
    """A connection. Nothing here blocks."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._in = bytearray()
        self._out = bytearray()

    @property
    def fd(self) -> int:
        """For the poller."""
        return self._sock.fileno()

    @property
    def waits(self) -> bool:
        """Something is still to be sent."""
        return bool(self._out)

    def receive(self, handle: Callable[[dict[str, Any]], None]) -> None:
        """Hand over every complete line that has come. Raises Gone at the end of the stream, after the last of them,
        and at a line that is no request of an agent, or has no end."""
        gone = False
        try:
            while data := self._sock.recv(1 << 20):
                self._in += data
            gone = True
        except BlockingIOError:
            pass
        except OSError:
            gone = True
        *lines, rest = self._in.split(b"\n")
        self._in = rest
        for line in lines:
            _hand(line, handle)
        if gone or len(rest) > _LONGEST_LINE:
            raise Gone

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message and send what can be sent. Raises Gone."""
        self._out += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what can be sent. Raises Gone."""
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            if len(self._out) > _OUT_LIMIT:
                raise Gone from None
        except OSError:
            raise Gone from None

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


def _hand(line: bytes | bytearray, handle: Callable[[dict[str, Any]], None]) -> None:
    try:
        handle(json.loads(line))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        traceback.print_exc()
        raise Gone from None


def listen(root: str) -> socket.socket:
    """The socket `ROOT/spawner.sock`, 0600; a stale one is replaced (the caller holds the lock)."""
    directory = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    path = f"/proc/self/fd/{directory}/spawner.sock"  # a root's own path may be longer than a socket's may be
    try:
        if os.path.lexists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(8)
        listener.setblocking(False)
    finally:
        os.close(directory)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """A connection from a process of our own user; None when there is none."""
    try:
        sock, _ = listener.accept()
    except OSError:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, _CREDENTIALS, struct.calcsize("3i"))
    if struct.unpack("3i", raw)[1] != os.getuid():
        sock.close()
        return None
    return sock
