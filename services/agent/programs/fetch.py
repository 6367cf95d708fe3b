"""fetch: a file from the web or the disk into the workspace, by way of the host's cache (FLOWS §6).

urllib and not a library: the program must start in a few hundredths of a second, and asks one GET at a time.
"""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from services.agent.programs import web
from services.agent.programs.cache import Entry, Progress, digest, read_json
from services.agent.programs.placing import put
from services.agent.programs.report import Done, ProgramError, say, write_json
from shared.git.check import masked

_BLOCK = 1 << 18
_TRIES = 5


class _Fetch:
    """One file that is wanted, as the spec has it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.url: str = spec["url"]
        self.algorithm: str = spec["algorithm"]
        self.checksum: str = spec["checksum"]
        self.plain_too = bool(self.checksum) and not spec["https_only"]
        self.target, self.workspace = Path(spec["target"]), Path(spec["workspace"])
        self.entry = Entry(Path(spec["cache"]), self.url, self.checksum)


def work(spec: dict[str, Any]) -> Done:
    """Bring `spec["url"]` to `spec["target"]`. Raises ProgramError with what went wrong, naming the url."""
    fetch = _Fetch(spec)
    if not fetch.checksum:
        say("warning: no checksum is given, so what comes is not verified")
    if urlsplit(fetch.url).scheme == "file":
        _copy(fetch, Path(unquote(urlsplit(fetch.url).path)))
        return Done()
    with fetch.entry.held() as just_came:
        if not _cached(fetch, just_came):
            _download(fetch)
        put(fetch.entry.file, fetch.target, fetch.workspace, link=True)
    return Done()


def _copy(fetch: _Fetch, source: Path) -> None:
    """A file of this host: no cache, and never a link to what others may change."""
    if not source.is_file():
        raise ProgramError(f"{fetch.url}: there is no such file")
    found = digest(source, fetch.algorithm) if fetch.checksum else ""
    if found != fetch.checksum:
        raise _mismatch(fetch, found, "not taken")
    put(source, fetch.target, fetch.workspace, link=False)


def _mismatch(fetch: _Fetch, found: str, so: str) -> ProgramError:
    return ProgramError(f"{masked(fetch.url)}: {fetch.algorithm} is {found}, not {fetch.checksum}; the file is {so}")


def _cached(fetch: _Fetch, just_came: bool) -> bool:
    """Whether the cache has the file as it is wanted now; without a checksum the server is asked."""
    if not fetch.entry.file.exists():
        return False
    if fetch.checksum:
        if digest(fetch.entry.file, fetch.algorithm) == fetch.checksum:
            say("in the cache, checksum holds")
            return True
        fetch.entry.drop()
        return False
    known = fetch.entry.known()
    if not known:
        fetch.entry.drop()
        return False
    return just_came or _unchanged(fetch, known)


def _unchanged(fetch: _Fetch, known: dict[str, Any]) -> bool:
    asked = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("last_modified")}
    headers = {name: value for name, value in asked.items() if value}
    if not headers:
        return False
    try:
        web.get(fetch.url, headers, fetch.plain_too).close()
    except web.Refused as refused:
        if refused.status != 304:
            raise
        say("in the cache, and the server has nothing newer")
        return True
    return False


def _download(fetch: _Fetch) -> None:
    entry = fetch.entry
    for _ in range(_TRIES):
        before = _size(entry.part)
        try:
            meta = _receive(fetch, before)
        except web.Unreachable as error:
            if _size(entry.part) <= before or not _resumable(fetch):
                raise
            say(f"{error}: going on from byte {_size(entry.part)}")
            continue
        if not fetch.checksum or digest(entry.part, fetch.algorithm) == fetch.checksum:
            entry.complete(meta, with_digest=not fetch.checksum)
            return
        found = digest(entry.part, fetch.algorithm)
        entry.drop()
        if not before:
            raise _mismatch(fetch, found, "removed")
        say("what was resumed does not match its checksum: starting over")
    raise ProgramError(f"{masked(fetch.url)}: still not complete after {_TRIES} tries")


def _receive(fetch: _Fetch, have: int) -> dict[str, Any]:
    """Append to the part, or start it anew when the server does not go on from `have`; return its validators."""
    entry = fetch.entry
    headers = {}
    if have and _resumable(fetch):
        headers["Range"] = f"bytes={have}-"
        if validator := read_json(entry.part_meta).get("validator"):
            headers["If-Range"] = validator
    try:
        answer = web.get(fetch.url, headers, fetch.plain_too)
    except web.Refused as refused:
        if refused.status != 416:
            raise
        answer = web.get(fetch.url, {}, fetch.plain_too)
    with answer:
        return _store(fetch, answer)


def _store(fetch: _Fetch, answer: http.client.HTTPResponse) -> dict[str, Any]:
    entry, start = fetch.entry, web.starts_at(answer)
    meta = {"etag": answer.headers.get("ETag"), "last_modified": answer.headers.get("Last-Modified")}
    if start != _size(entry.part):
        start = 0
    if answer.status == 206 and not start:
        entry.drop()
        raise ProgramError(f"{masked(fetch.url)}: the server sent another part than was asked for")
    _remember(entry, meta)
    rest = web.length(answer.headers)
    progress = Progress(start, None if rest is None else start + rest)
    with open(entry.part, "ab" if start else "wb") as part:
        for block in _blocks(fetch, answer):
            part.write(block)
            progress.add(len(block))
    progress.show()
    if progress.total is not None and progress.done < progress.total:
        raise web.Unreachable(f"{masked(fetch.url)}: broke off after {progress.done} of {progress.total} bytes")
    return meta


def _blocks(fetch: _Fetch, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read1(_BLOCK):
            yield block
    except (http.client.HTTPException, OSError) as error:
        raise web.Unreachable(f"{masked(fetch.url)}: broke off: {error or type(error).__name__}") from error


def _resumable(fetch: _Fetch) -> bool:
    return bool(fetch.checksum) or bool(read_json(fetch.entry.part_meta).get("validator"))


def _remember(entry: Entry, meta: dict[str, Any]) -> None:
    """Keep what proves that a later answer is of the same file: a strong ETag, else its date (RFC 9110 §13.1.5)."""
    etag = meta["etag"]
    strong = etag if etag and not etag.startswith("W/") else None
    write_json(entry.part_meta, {"validator": strong or (meta["last_modified"] if not etag else None)})


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
