"""One GET: redirects with bounds, credentials that stay with their host, errors that name the url."""

import base64
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from services.agent.programs.report import ProgramError
from shared.git.check import masked

TIMEOUT_SECONDS = 60.0
_MAX_REDIRECTS = 10
_AS_IS = "%/:=&?~#+!$,;'@()*[]"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Unreachable(ProgramError):
    """No answer, or one that broke off: worth another try."""


class Refused(ProgramError):
    """The server answered with something else than 2xx."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _MAX_REDIRECTS

    def __init__(self, plain_too: bool) -> None:
        self._plain_too = plain_too

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https"):
            raise ProgramError(f"{masked(req.full_url)} redirects to {masked(newurl)}: not followed")
        if (old.scheme, new.scheme) == ("https", "http") and not self._plain_too:
            raise ProgramError(f"{masked(req.full_url)} redirects from https to http: give a checksum to allow that")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            _authorize(request, req.unredirected_hdrs.get("Authorization"))
        return request


def _authorize(request: urllib.request.Request, value: str | None) -> None:
    if value:
        request.add_unredirected_header("Authorization", value)


def get(url: str, headers: Mapping[str, str], plain_too: bool) -> http.client.HTTPResponse:
    """The open answer to a GET, redirects followed. `plain_too`: also from https to http.

    Raises Refused for anything but 2xx (304 and 416 too), Unreachable without an answer, ProgramError for a redirect
    that is not followed. User and password in the url are sent to its own host only.
    """
    bare, authorization = _split_user(url)
    request = urllib.request.Request(bare, headers={"User-Agent": "floe", "Accept-Encoding": "identity", **headers})  # noqa: S310 - scheme checked by the plan
    _authorize(request, authorization)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(plain_too),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    try:
        answer: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise Refused(f"{masked(url)}: {error.code} {error.reason}", error.code) from error
    except urllib.error.URLError as error:
        raise Unreachable(f"cannot reach {masked(url)}: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"cannot reach {masked(url)}: {error or type(error).__name__}") from error
    return answer


def _split_user(url: str) -> tuple[str, str | None]:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise ProgramError(f"{masked(url)} names no host: {error}") from error
    bare = urlunsplit((parts.scheme, host, quote(parts.path, _AS_IS) or "/", quote(parts.query, _AS_IS), ""))
    if not at:
        return bare, None
    return bare, "Basic " + base64.b64encode(unquote(user).encode()).decode()


def starts_at(answer: http.client.HTTPResponse) -> int:
    """From which byte on the body is: 0 unless the server continues what was asked for by `Range`."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(found.group(1)) if answer.status == 206 and found else 0


def length(headers: Message) -> int | None:
    """The body's length as announced; None when it is not."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Transfer-Encoding" not in headers else None
