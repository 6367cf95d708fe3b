"""How an error looks over HTTP: problem+json (RFC 9457), and the one table of which error has which status."""

import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import Conflict, FloeError, InvalidInput, NotAllowed, NotFound, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

log = structlog.get_logger()
_STATUS: tuple[tuple[type[FloeError], int], ...] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (NotAllowed, 403),
    (Unavailable, 503),
)


class BadRequest(InvalidInput):
    """The request as such cannot be understood (400)."""


class TooLarge(InvalidInput):
    """More bytes than the place takes (413)."""


class WrongMediaType(InvalidInput):
    """A body in a form that the endpoint does not read (415)."""


class TooMany(Unavailable):
    """As many streams are open as may be (503)."""


class FlowRefused(InvalidInput):
    """A definition with fatal findings (422); `problems` lists all of them."""

    def __init__(self, message: str, problems: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.problems = list(problems)


def status_of(error: FloeError) -> int:
    """The HTTP status that an error of floe's has."""
    match error:
        case BadRequest():
            return 400
        case TooLarge():
            return 413
        case WrongMediaType():
            return 415
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, title: str = "", **more: Any
) -> Response:
    """A problem document. A 5xx without an `id` gets one here; who logs it passes the id in."""
    if status >= 500:
        more.setdefault("id", new_id())
    title = title or HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(msgspec.json.encode(body), status, dict(headers or {}), MEDIA_TYPE)


def new_id() -> str:
    """The id of a failure: in the answer and in the log."""
    return secrets.token_hex(8)


async def on_floe_error(request: Request, error: Exception) -> Response:
    """Answer an error of floe's own tree; its text is fit to be shown."""
    assert isinstance(error, FloeError)
    status = status_of(error)
    if status >= 500:
        return _failed(request, error, status)
    more: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        more["errors"] = [{"loc": loc, "msg": msg} for loc, msg in error.errors]
    if isinstance(error, FlowRefused):
        more["problems"] = error.problems
    return problem(status, str(error), **more)


def _failed(request: Request, error: FloeError, status: int) -> Response:
    failure = new_id()
    log.warning("http.failed", id=failure, path=request.url.path, error=str(error))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    detail = str(error) if status == 503 else f"Something failed here that the log knows as {failure}."
    return problem(status, detail, headers=headers, id=failure)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}."
    elif error.status_code == 405:
        detail = f"{request.method} is not possible at {request.url.path}."
    return problem(error.status_code, detail, headers=error.headers)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer a body, query or path that does not fit its schema."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return problem(
            400, f"The body is not JSON: {found[0].get('ctx', {}).get('error', 'cannot be read')}.", errors=[]
        )
    if _came_as_something_else(request, found):
        return problem(415, "Send the body as JSON, with Content-Type: application/json.", errors=[])
    errors = [{"loc": _where(e["loc"]), "msg": str(e["msg"])} for e in found]
    first = errors[0] if errors else {"loc": "", "msg": "does not fit"}
    return problem(422, f"{first['loc'] or 'The request'}: {first['msg']}", errors=errors)


def _came_as_something_else(request: Request, found: Sequence[Mapping[str, Any]]) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    return not is_json and any(tuple(e["loc"]) == ("body",) and e["type"] != "missing" for e in found)


def _where(loc: Sequence[Any]) -> str:
    """The place in the body, or the name of the parameter: `opts.branch`, `limit`."""
    parts = [str(part) for part in loc]
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:] or parts
    return ".".join(parts)
