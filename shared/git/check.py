"""What a url, a ref and a hash may look like before git sees them (RELIABILITY §2 and §4). Runs nothing."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from shared.errors import InvalidInput

DEFAULT_PROTOCOLS = "https:ssh:http:git:file"
EVENT_PROTOCOLS = "https:ssh"
"""For a url that came with an event, not from a definition."""

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP = re.compile(r"(?:[^/:@]+@)?(\[[^/\]]+\]|[^/:]+):(.*)", re.DOTALL)
_HASH = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")
_USERINFO = re.compile(r"(?<=://)[^/\s@:]*:[^/\s]*@|(?<=https://)[^/\s]*@|(?<=http://)[^/\s]*@", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with user and password of every url in it hidden; before http and https also a name alone, a token."""
    return _USERINFO.sub("***@", text)


def check_url(url: str, protocols: str = DEFAULT_PROTOCOLS, from_event: bool = False) -> str:
    """The url's protocol (`https`, `ssh`, `http`, `git`, `file`), once it is known to be harmless and allowed.

    `protocols` is a list with colons, as git takes it; `from_event` leaves https and ssh of it. A path is `file` and
    must be absolute. Raises InvalidInput for what could be read as an option, for `ext::` and every other helper
    protocol, for blanks and control characters.
    """
    shown = masked(url)
    if not url:
        raise InvalidInput("the git url is empty")
    if _CONTROL.search(url):
        raise InvalidInput(f"git url {shown!r} has blanks or control characters in it")
    if url.startswith("-"):
        raise InvalidInput(f"git url {shown!r} could be read as an option")
    if _HELPER.match(url):
        raise InvalidInput(f"git url {shown!r} asks for a helper program: use {' or '.join(protocols.split(':'))}")
    protocol = _protocol(url, shown)
    allowed = [name for name in protocols.split(":") if not from_event or name in EVENT_PROTOCOLS.split(":")]
    if protocol not in allowed:
        why = " in a url that comes from an event" if from_event else ""
        raise InvalidInput(f"git url {shown!r}: {protocol} is not allowed{why}, only {', '.join(allowed) or 'nothing'}")
    return protocol


def _protocol(url: str, shown: str) -> str:
    if scheme := _SCHEME.match(url):
        rest = url[scheme.end() :]
        host = rest.split("/", 1)[0].rsplit("@", 1)[-1]
        if rest.startswith("-") or host.startswith("-"):
            raise InvalidInput(f"git url {shown!r}: its host could be read as an option")
        return scheme.group(1).lower()
    if scp := _SCP.fullmatch(url):
        if scp.group(1).startswith("-") or scp.group(2).startswith("-"):
            raise InvalidInput(f"git url {shown!r}: its host or path could be read as an option")
        return "ssh"
    if not url.startswith("/"):
        raise InvalidInput(f"git url {shown!r} is neither a url nor an absolute path")
    return "file"


def check_ref(ref: str) -> str:
    """The ref (a branch, a tag, or a full `refs/…`) as it is, when `git check-ref-format --branch` would take it.

    Raises InvalidInput otherwise; a leading `-` above all.
    """
    if not ref:
        raise InvalidInput("the branch is empty")
    if ref.removeprefix("refs/heads/").removeprefix("refs/tags/").startswith("-"):
        raise InvalidInput(f"branch {ref!r} could be read as an option")
    if _BAD_REF.search(ref) or ref[0] in "/." or ref[-1] in "/." or ref in ("@", "HEAD"):
        raise InvalidInput(f"{ref!r} is no name for a branch or tag")
    return ref


def check_hash(text: str) -> str:
    """The commit's full hash in lower case. Raises InvalidInput for anything but 40 or 64 hex digits."""
    lowered = text.lower()
    if not _HASH.fullmatch(lowered):
        raise InvalidInput(f"{text!r} is no commit: 40 (or 64) hexadecimal digits are wanted")
    return lowered


def repo_name(url: str) -> str:
    """The directory that a clone of the url gets: its last part without `.git`. Raises InvalidInput when unusable."""
    path = unquote(urlsplit(url).path) if _SCHEME.match(url) else url.rsplit(":", 1)[-1]
    name = PurePosixPath(path).name
    if name == ".git":
        name = PurePosixPath(path).parent.name
    name = name.removesuffix(".git")
    if name in ("", ".", "..") or name.startswith("-") or _CONTROL.search(name):
        raise InvalidInput(f"git url {masked(url)!r} names no repository")
    return name
