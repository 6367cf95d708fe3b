"""How the text of a setting becomes a value. A ValueError says what fits, as in "it takes a whole number from 1 on"."""

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

_HOST = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
_SIZE = re.compile(r"^([0-9]+)\s*([kmg]?)(i?b)?$", re.IGNORECASE)
_SECONDS = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)$")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_UNIT_POWER = {"": 0, "k": 1, "m": 2, "g": 3}
_LEVELS = ("debug", "info", "warning", "error")
_PROTOCOL = re.compile(r"^[a-z][a-z0-9+.-]*$")
_OTHERS = ("FLOE_OPT_", "FLOE_TEST_", "FLOE_SETUP_", "FLOE_BENCH_")
_OTHER_NAMES = frozenset(
    f"FLOE_{name}"
    for name in ("SERVER", "TOKEN", "DEBUG", "RUN", "FLOW", "NODE", "ACTIVATION", "EPOCH", "OUTPUT", "OPTS", "CONF")
)


def is_for_others(name: str) -> bool:
    """Whether a `FLOE_*` name is no setting but known all the same: what tasks see, what client commands read."""
    return name in _OTHER_NAMES or name.startswith(_OTHERS) or name.endswith("_COMPLETE")


def whole(least: int) -> Callable[[str], int]:
    """A whole number."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < least:
            raise ValueError(f"a whole number from {least} on")
        return int(text)

    return parse


def seconds(least: float) -> Callable[[str], float]:
    """Seconds, or a number with s, m, h or d behind it."""

    def parse(text: str) -> float:
        found = _SECONDS.match(text)
        value = float(found[1]) * _UNIT_SECONDS[found[2]] if found else -1.0
        if value < least:
            raise ValueError(f"seconds from {least:g} on, as 90, 90s or 5m")
        return value

    return parse


def size(text: str) -> int:
    """Bytes, or a number with KiB, MiB or GiB behind it; 1 KiB at least."""
    found = _SIZE.match(text)
    value = int(found[1]) * int(1024 ** _UNIT_POWER[found[2].lower()]) if found else 0
    if value < 1024:
        raise ValueError("a number of bytes from 1024 on, as 1048576 or 64MiB")
    return value


def boolean(text: str) -> bool:
    """true or false, in the usual spellings."""
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError("true or false")
    return known[text.lower()]


def words(text: str) -> tuple[str, ...]:
    """Words with commas or spaces between them, without repeats."""
    return tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", text) if word))


def path(text: str) -> Path:
    """An absolute path; `~` is the home directory."""
    if "\0" in text:
        raise ValueError("a path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("a path (there is no home directory to put for ~)") from None


def host_name(text: str) -> str:
    """A host's name as FLOWS F-01 has it."""
    if not _HOST.match(text):
        raise ValueError("a name of a-z, 0-9, _ and -, at most 64, starting with a letter or digit")
    return text


def own_host_name() -> str:
    """This machine's name, made to fit FLOWS F-01."""
    plain = re.sub(r"[^a-z0-9_-]", "-", socket.gethostname().partition(".")[0].lower()).strip("-_")[:64]
    return plain or "localhost"


def address(text: str) -> str:
    """HOST:PORT, [IPV6]:PORT or :PORT, with `http://` in front where TLS is not wanted; port 0: the system chooses."""
    host, colon, port = text.removeprefix("http://").removeprefix("https://").rpartition(":")
    numeric = port.isascii() and port.isdigit() and int(port) <= 65535
    if not colon or not numeric or "/" in host or (":" in host and host[0] != "["):
        raise ValueError("HOST:PORT, as 127.0.0.1:8080")
    return text


def split_address(text: str) -> tuple[str, int]:
    """Host and port of an `address` without its scheme; no host means every interface."""
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by leaving the host out


def prefix(text: str) -> str:
    """The path that the api's addresses start with."""
    if not re.fullmatch(r"/[A-Za-z0-9/_.~-]*", text):
        raise ValueError("a path that starts with /, as /api/v1")
    return text.rstrip("/")


def token(text: str) -> str:
    """A bearer token: what fits into an HTTP header."""
    if not re.fullmatch(r"[A-Za-z0-9._~+/=:@!$-]{1,512}", text):
        raise ValueError("letters, digits and ._~+/=:@!$-, at most 512 and no spaces")
    return text


def database_url(text: str) -> str:
    """A PostgreSQL url."""
    if not re.match(r"(postgresql(\+asyncpg)?|postgres)://[^\s]+$", text):
        raise ValueError("a url as postgresql://USER:PASSWORD@HOST/NAME")
    return text


def amqp_url(text: str) -> str:
    """A RabbitMQ url."""
    if not re.match(r"amqps?://[^\s]+$", text):
        raise ValueError("a url as amqp://USER:PASSWORD@HOST/VHOST")
    return text


def git_protocols(text: str) -> tuple[str, ...]:
    """Names of git transports with colons between them (as GIT_ALLOW_PROTOCOL)."""
    names = tuple(dict.fromkeys(name for name in text.split(":") if name))
    if not names or not all(map(_PROTOCOL.match, names)) or "ext" in names:
        raise ValueError("names with colons between them, as https:ssh:file (ext is never allowed)")
    return names


def networks(text: str) -> tuple[str, ...]:
    """Addresses or networks with commas between them."""
    try:
        return tuple(str(ipaddress.ip_network(word, strict=False)) for word in words(text))
    except ValueError:
        raise ValueError("networks with commas between them, as 10.0.0.0/8,192.168.1.7") from None


def store_type(text: str) -> Literal["memory", "local", "postgres"]:
    """FLOWS F-08."""
    if text not in ("memory", "local", "postgres"):
        raise ValueError("memory, local or postgres")
    return cast(Literal["memory", "local", "postgres"], text)


def log_form(text: str) -> Literal["text", "json"]:
    """How log lines look."""
    if text not in ("text", "json"):
        raise ValueError("text or json")
    return cast(Literal["text", "json"], text)


def log_level(text: str) -> str:
    """From which level on log lines are written."""
    if text.lower() not in _LEVELS:
        raise ValueError("debug, info, warning or error")
    return text.lower()


def without_credentials(url: str) -> str:
    """A url as it may be shown: no user, no password, no query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
