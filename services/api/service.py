"""The api as a service: uvicorn within the loop that is there, started and stopped like the others."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn

from services.api.app import create_app
from services.api.config import ApiConfig
from services.api.desk import Desk
from services.api.protocol import BoundedProtocol
from shared.bus.port import Bus
from shared.errors import ConfigurationError
from shared.store.port import ApiStore

_BACKLOG = 2048


class ApiService:
    """Serves HTTP between `start` and `stop`. Bus and store are started before and closed after, not by this."""

    def __init__(self, bus: Bus, store: ApiStore, config: ApiConfig) -> None:
        self._config = config
        self.app = create_app(config, store, bus)
        """The ASGI application."""
        self._desk: Desk = self.app.state.desk
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self._port = config.port

    @property
    def port(self) -> int:
        """The port that it listens on, the real one once it is started."""
        return self._port

    async def start(self) -> None:
        """Return when requests are served. Raises ConfigurationError when the address cannot be listened on."""
        self._socket = listen(self._config.host, self._config.port)
        self._port = int(self._socket.getsockname()[1])
        await self._desk.start()
        self._server = _Server(self._server_config())
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="api")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise ConfigurationError("the HTTP server ended before it began")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Take no more requests, end waits and streams, give the rest `stop_seconds`. Twice is harmless."""
        self._desk.live.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._end_serving(self._serving)
            for connection in list(self._server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        await self._desk.stop()
        if self._socket is not None:
            self._socket.close()

    async def wait_failed(self) -> BaseException:
        """The reason, once the server ended by itself."""
        if self._serving is None:
            raise RuntimeError("the api is not started")
        await asyncio.wait({self._serving})
        return self._serving.exception() or ConfigurationError("the HTTP server ended by itself")

    async def _end_serving(self, serving: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait({serving}, timeout=self._config.stop_seconds + 1)
        if not done:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    def _server_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            loop="none",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(self._config.stop_seconds)),
            ssl_certfile=self._config.tls_cert,
            ssl_keyfile=self._config.tls_key,
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigurationError(_why_not(host, port, error)) from error
    sock.setblocking(False)
    return sock


def _why_not(host: str, port: int, error: OSError) -> str:
    address = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use: stop what listens there, or choose another address with --bind"
    if error.errno == errno.EACCES:
        return f"{address}: ports below 1024 need more rights; choose another with --bind"
    return f"cannot listen on {address}: {error.strerror or error}; choose another address with --bind"


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs the services."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are captured."""
        yield
