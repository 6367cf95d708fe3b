"""A web server on the loopback that can be told to misbehave, and remembers who asked for what."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Page:
    """One path: its bytes, and how the server hands them out."""

    body: bytes = b""
    etag: str = ""
    ranges: bool = True
    status: int = 200
    location: str = ""
    cut_after: int | None = None
    """Break the first answer off after so many bytes."""
    hold: threading.Event | None = None
    """Wait for this before the body."""
    chunked: bool = False


@dataclass
class Asked:
    path: str
    headers: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    """Closing waits for every answer, so that no socket is left to the garbage collector."""

    def handle_error(self, *_: Any) -> None:
        """Clients that are killed are part of the tests."""


class Site:
    """Serves `pages`; `asked` has every request in order."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for page in self.pages.values():
            if page.hold:
                page.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, body: bytes, **more: Any) -> str:
        self.pages[path] = Page(body, **more)
        return self.url(path)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.path, headers))
        page = self.pages.get(request.path.partition("?")[0], Page(b"no such page", status=404))
        if page.location:
            request.send_response(page.status if page.status != 200 else 302)
            request.send_header("Location", page.location)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif page.etag and headers.get("if-none-match") == page.etag:
            request.send_response(304)
            request.end_headers()
        else:
            self._send(request, page, headers)

    def _send(self, request: BaseHTTPRequestHandler, page: Page, headers: dict[str, str]) -> None:
        start = self._start(page, headers)
        if start:
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
        else:
            request.send_response(page.status)
        if page.etag:
            request.send_header("ETag", page.etag)
        body = page.body[start:]
        if page.chunked:
            request.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if page.hold:
            request.wfile.flush()
            page.hold.wait(30)
        if page.cut_after is not None:
            body, page.cut_after = body[: page.cut_after], None
            request.close_connection = True
        request.wfile.write(body)

    @staticmethod
    def _start(page: Page, headers: dict[str, str]) -> int:
        asked = headers.get("range", "")
        if not page.ranges or not asked.startswith("bytes="):
            return 0
        if headers.get("if-range", page.etag) != page.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))
