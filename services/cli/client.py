"""The api's HTTP client: requests, streams of bytes and server-sent events, and answers as values or errors of ours.

On the standard library, because a command that only asks one thing should not spend its time on imports.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from shared.errors import ConfigurationError, Conflict, FloeError, InvalidInput, NotAllowed, NotFound, Unavailable

DEFAULT_PREFIX = "/api/v1"
_MOST_OF_AN_ERROR = 64 * 1024
_Query = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the api said: the status, and the JSON of the body (None when there is none)."""

    status: int
    body: Any


class Disconnected(Unavailable):
    """A stream broke off before its end."""


class Stream:
    """A body as it arrives. Leave its context to close the connection."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def chunks(self) -> Iterator[bytes]:
        """Bytes until the sender's end. Raises Disconnected when the connection breaks first, or stays silent."""
        while True:
            try:
                data = self._response.read1(65536)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Disconnected(f"the connection broke: {error or type(error).__name__}") from None
            if not data:
                return
            yield data

    def events(self) -> Iterator[Any]:
        """The JSON `data` of server-sent events; comments and what is no JSON are passed over."""
        pending, data = b"", []
        for chunk in self.chunks():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                line = line.rstrip(b"\r")
                if line.startswith(b"data:"):
                    data.append(line[5:].removeprefix(b" "))
                elif not line and data:
                    yield _json(b"\n".join(data))
                    data = []


class Client:
    """One api. Every call opens a connection of its own, so that threads may share a client."""

    def __init__(
        self, server: str, token: str | None = None, *, token_from: str = "", timeout_seconds: float = 30
    ) -> None:
        parts = urlsplit(server if "//" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"--server: {server!r} is no address, it reads http://HOST:PORT")
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.prefix = parts.path.rstrip("/") or DEFAULT_PREFIX
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._port = _port_of(server, parts.netloc, self._secure)
        self._token, self._token_from = token, token_from
        self.timeout_seconds = timeout_seconds

    def get(self, path: str, **query: str | int | bool | None) -> Any:
        """The JSON at a path below the prefix."""
        return self.send("GET", path, query=query).body

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: _Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `body` is bytes as they are, or anything that is JSON. Raises what the status means."""
        connection, response = self._open(method, path, body, query, headers)
        try:
            return Answer(response.status, _json(response.read()))
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def stream(
        self,
        path: str,
        *,
        silent_seconds: float,
        headers: Mapping[str, str] | None = None,
        **query: str | int | bool | None,
    ) -> Stream:
        """A body to be read as it comes; a connection silent for that long counts as broken."""
        connection, response = self._open("GET", path, None, query, headers)
        if connection.sock is not None:
            connection.sock.settimeout(silent_seconds)
        return Stream(connection, response)

    def _open(
        self,
        method: str,
        path: str,
        body: object,
        query: _Query | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        sent = {"Accept": "application/json, */*;q=0.5", **self._authorization(), **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, self._target(path, query), body=body, headers=sent)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        if response.status >= 300:
            try:
                raise self._refusal(response)
            finally:
                connection.close()
        return connection, response

    def _connection(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self.timeout_seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self.timeout_seconds)

    def _target(self, path: str, query: _Query | None) -> str:
        given = {
            k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in (query or {}).items() if v is not None
        }
        return self.prefix + path + (f"?{urlencode(given)}" if given else "")

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _unreachable(self, error: Exception) -> Unavailable:
        what = "no answer in time" if isinstance(error, TimeoutError) else _reason(error)
        return Unavailable(f"cannot reach {self.address}: {what}; is floe running there? (--server or FLOE_SERVER)")

    def _refusal(self, response: http.client.HTTPResponse) -> FloeError:
        try:
            body = _json(response.read(_MOST_OF_AN_ERROR))
        except (OSError, http.client.HTTPException):
            body = None
        problem = body if isinstance(body, dict) else {}
        said = str(problem.get("detail") or problem.get("title") or response.reason or "no reason given")
        return self._error(response.status, said, problem)

    def _error(self, status: int, said: str, problem: dict[str, Any]) -> FloeError:
        if status == 401:
            return NotAllowed(f"{said.rstrip('.')}; {self._about_token()}")
        if status == 403:
            return NotAllowed(said)
        if status == 404:
            return NotFound(said)
        if status == 409:
            return Conflict(said)
        if status >= 500:
            trace_id = problem.get("id") or problem.get("instance")
            where = f" (look for {trace_id} in its log)" if trace_id else ""
            return Unavailable(f"{self.address} answers {status}: {said}{where}")
        if status < 400:
            return ConfigurationError(f"{self.address} is moved: it answers {status}; give its own address as --server")
        return InvalidInput(said, _fields(problem))

    def _about_token(self) -> str:
        if self._token:
            return f"the token is from {self._token_from or '--token'}"
        return "give --token or set FLOE_TOKEN"


def path_of(*parts: str | int) -> str:
    """A path of which each part is quoted."""
    return "".join("/" + quote(str(part), safe="") for part in parts)


def _port_of(server: str, netloc: str, secure: bool) -> int:
    text = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")[2] if ":" in netloc else ""
    if text and not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigurationError(f"--server: {server!r} has no port that works, it reads http://HOST:PORT")
    return int(text) if text else (443 if secure else 80)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _fields(problem: dict[str, Any]) -> list[tuple[str, str]]:
    found = problem.get("errors") or []
    if isinstance(found, list) and found:
        return [(_loc(item.get("loc", "")), str(item.get("msg", ""))) for item in found if isinstance(item, dict)]
    findings = problem.get("problems") or []
    return [(_place(item), str(item.get("message", ""))) for item in findings if isinstance(item, dict)]


def _loc(loc: object) -> str:
    return ".".join(str(part) for part in loc) if isinstance(loc, list | tuple) else str(loc)


def _place(finding: dict[str, Any]) -> str:
    return f"line {finding['line']}" if finding.get("line") else ""
