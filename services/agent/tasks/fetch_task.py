"""fetch: the options, checked, as a program's spec (FLOWS §6 fetch, N-07)."""

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from services.agent.tasks import own
from services.agent.tasks.paths import check_inside, url_in
from services.agent.tasks.plan import TaskError, TaskPlace, TaskPlan, TaskSettings
from shared.bus.messages import TaskOffered
from shared.flows.expand import fill, text_of
from shared.flows.opts import Given, url_option
from shared.flows.paths import fetch_place
from shared.git.check import masked

_LENGTHS = {64: "sha256", 40: "sha1", 32: "md5", 128: "sha512"}
_HEX = re.compile(r"[0-9a-f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def plan(offer: TaskOffered, place: TaskPlace, settings: TaskSettings) -> TaskPlan:
    """A download into the workspace by way of the host's cache. Raises TaskError, WrongOption."""
    given = url_option(offer.definition, offer.opts)
    if given is None:
        raise TaskError("fetch wants `url`, and has none")
    given = replace(given, value=url_in(place.workspace, given))
    parts = _checked_url(given, settings)
    algorithm, checksum = _checksum(offer)
    location = offer.definition.get("location")
    name = Path(unquote(parts.path)).name
    target = Path(fetch_place(location, name, str(place.workspace), offer.opts))
    check_inside(place.workspace, target.parent, "location")
    spec = {
        "url": given.value,
        "https_only": given.outside,
        "algorithm": algorithm,
        "checksum": checksum,
        "target": str(target),
        "workspace": str(place.workspace),
        "cache": str(place.cache),
    }
    made = own.plan(offer, place, settings, spec)
    return replace(made, preamble=made.preamble + f"fetch {masked(given.value)} to {target}\n".encode())


def _checked_url(given: Given, settings: TaskSettings) -> SplitResult:
    url, shown = given.value, masked(given.value)
    if _CONTROL.search(url) or url != url.strip():
        raise TaskError(f"fetch url {shown!r} has control characters or blanks around it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise TaskError(f"fetch url {shown!r}: {error}") from error
    allowed = ("https",) if given.outside else ("http", "https", *(("file",) if settings.allow_file_urls else ()))
    if parts.scheme not in allowed:
        why = " in a url with a placeholder" if given.outside else " by this agent" if parts.scheme == "file" else ""
        raise TaskError(f"fetch url {shown!r}: {parts.scheme or 'no scheme'} is not allowed{why}, only {_or(allowed)}")
    if parts.scheme == "file" and (parts.hostname not in (None, "localhost") or not parts.path.startswith("/")):
        raise TaskError(f"fetch url {shown!r}: a file url has no host and an absolute path")
    if parts.scheme != "file" and (not parts.hostname or port == 0):
        raise TaskError(f"fetch url {shown!r} names no host")
    return parts


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)


def _checksum(offer: TaskOffered) -> tuple[str, str]:
    """Algorithm and digits; both empty without a checksum. `HEX  filename` is taken as `sha256sum` prints it."""
    text = text_of(fill(offer.definition.get("checksum") or "", offer.opts)).split()
    asked = text_of(fill(offer.definition.get("checksum-algo") or "", offer.opts)).strip().lower().replace("-", "")
    if asked and asked not in _LENGTHS.values():
        raise TaskError(f"checksum-algo {asked!r} is unknown: {_or(tuple(_LENGTHS.values()))}")
    if not text:
        return "", ""
    digits = text[0].lower().removeprefix("\\")
    by_length = _LENGTHS.get(len(digits))
    if not _HEX.fullmatch(digits) or by_length is None:
        raise TaskError(f"checksum {text[0][:140]!r} is not the hex form of {_or(tuple(_LENGTHS.values()))}")
    if asked and asked != by_length:
        raise TaskError(f"checksum {digits!r} has the length of {by_length}, not of {asked}")
    return by_length, digits
