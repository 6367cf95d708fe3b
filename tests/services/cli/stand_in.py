"""A small HTTP server that answers as a test says, and remembers what it was asked: for what a real api rarely does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """An answer: JSON, or pieces of a body sent as they come; `cut` breaks the connection off after them."""

    body: Any = None
    status: int = 200
    pieces: Iterator[bytes] | None = None
    cut: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, detail: str, **more: Any) -> Said:
    """A problem+json."""
    return Said({"title": "no", "status": status, "detail": detail, **more}, status)


Answer = Said | Callable[[Asked], Said]


class StandIn:
    """Answers by `METHOD /path` below the prefix; anything else is 404."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, Answer] = {}
        self.url = ""

    def on(self, what: str, answer: Answer | Any) -> None:
        self.answers[what] = answer if isinstance(answer, Said) or callable(answer) else Said(answer)

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path.removeprefix('/api/v1')}")
        if found is None:
            return refusal(404, f"there is no {asked.path}")
        return found(asked) if callable(found) else found


@contextmanager
def stand_in(port: int = 0) -> Iterator[StandIn]:
    """A server on a free port of this machine."""
    told = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            self._send(told.answer(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)))

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def _send(self, said: Said) -> None:
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if said.pieces is None:
                data = json.dumps(said.body).encode() if said.body is not None else b""
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in said.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            if not said.cut:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = said.cut

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def event(seq: int, tag: str, source: str = "", opts: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An event as the api sends it."""
    kind = tag.partition(".")[0] if tag.startswith(("task.", "merge.", "trigger.")) else "task" if source else "sys"
    return {
        "id": f"h1-4/{seq}",
        "seq": seq,
        "run": "h1-4",
        "flow": "build",
        "ver": 1,
        "tag": tag,
        "source": {"class": kind, "id": source},
        "good": True,
        "opts": opts or {},
        "at": f"2030-01-01T12:00:{seq:02d}Z",
        **more,
    }


def as_sse(*events: dict[str, Any]) -> Iterator[bytes]:
    """Server-sent events, a comment before each."""
    for each in events:
        yield f": still here\n\nid: {each['seq']}\ndata: {json.dumps(each)}\n\n".encode()
