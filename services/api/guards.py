"""What stands around every request, outermost first: failures, the access log, the body's size, the token."""

import time
from collections.abc import Collection

import structlog
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.auth import Authenticator, Patience, bearer
from services.api.problems import TooLarge, new_id, problem

log = structlog.get_logger()
_UNAUTHORISED = {"WWW-Authenticate": 'Bearer realm="floe"'}


class FailureGuard:
    """Whatever escapes becomes a 500 with an id that the log has too, and no trace (API.md)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            failure = new_id()
            log.exception("http.failed", id=failure, path=scope["path"])
            if started:
                raise
            answer = problem(500, f"Something failed here that the log knows as {failure}.", id=failure)
            await answer(scope, receive, send)


class AccessLog:
    """One line for each request when it has been answered. Never a query, a header or a body: they may hold secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = time.monotonic(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            elapsed = (time.monotonic() - began) * 1000
            log.info("http.request", method=scope["method"], path=scope["path"], status=status, ms=round(elapsed, 1))


class BodyLimit:
    """No request body is longer than this, whether it says its length or not: 413."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = HTTPConnection(scope).headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._most:
            return await self._refusal()(scope, receive, send)
        came, refused = 0, False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise TooLarge(self._text())
            return message

        async def refusing(message: Message) -> None:
            """Whatever a handler makes of the error, the answer is 413."""
            nonlocal refused
            if message["type"] == "http.response.start" and came > self._most:
                refused = True
                await self._refusal()(scope, receive, send)
            elif not refused:
                await send(message)

        return await self._app(scope, counted, refusing)

    def _refusal(self) -> Response:
        return problem(413, self._text(), headers={"Connection": "close"})

    def _text(self) -> str:
        return f"The body is longer than {self._most} bytes, the most that is taken."


class TokenGuard:
    """Everything but the `open` paths wants a bearer token: 401 without, 429 after too many wrong ones."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, open_paths: Collection[str]) -> None:
        self._app = app
        self._authenticator = authenticator
        self._patience = Patience()
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            return await refusal(scope, receive, send)
        return await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        token = bearer(HTTPConnection(scope).headers.get("authorization", ""))
        if token is None:
            return problem(401, "Say who you are: Authorization: Bearer TOKEN.", headers=_UNAUTHORISED)
        address = (scope.get("client") or ("", 0))[0]
        wait = self._patience.refuses(address, token)
        if wait:
            detail = f"Too many wrong tokens came from {address}; wait {wait} s."
            return problem(429, detail, headers={"Retry-After": str(wait)})
        principal = self._authenticator.principal(token)
        if principal is None:
            self._patience.failed(address)
            headers = {"WWW-Authenticate": 'Bearer realm="floe", error="invalid_token"'}
            return problem(401, "This token is not known here.", headers=headers)
        self._patience.succeeded(address, token)
        scope.setdefault("state", {})["principal"] = principal
        return None
