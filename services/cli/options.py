"""What client commands share: where the api is, who asks, how the answer looks, and how runs and values are written."""

import functools
import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from services.cli.client import Client
from services.cli.printable import printable
from services.cli.render import Output
from shared.errors import ConfigurationError, NotFound
from shared.runs.refs import parse_ref

DEFAULT_SERVER = "http://127.0.0.1:8080"
_KEY = re.compile(r"[^\s=:]+")


@dataclass(frozen=True, slots=True)
class Remote:
    """A command's way to the api. `again` is what hints repeat so that they can be typed as they stand."""

    client: Client
    output: Output
    again: str = ""


def client_command(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--server`, `--token` and `-o`; the function gets a `Remote` as its first argument."""

    @click.option("--server", metavar="URL", help=f"Where the api is (FLOE_SERVER; {DEFAULT_SERVER}).")
    @click.option("--token", metavar="TOKEN", help="Who asks (FLOE_TOKEN; on the machine of `floe up`: ROOT/token).")
    @click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
    @functools.wraps(function)
    def command(server: str | None, token: str | None, output: Output, **rest: object) -> None:
        function(remote(server, token, output), **rest)

    return command


def remote(server: str | None, token: str | None, output: Output = "table", timeout_seconds: float = 30) -> Remote:
    """The api that flags, environment and ROOT/token lead to."""
    address = server or os.environ.get("FLOE_SERVER") or DEFAULT_SERVER
    found, where = find_token(token, address)
    client = Client(address, found, token_from=where, timeout_seconds=timeout_seconds)
    return Remote(client, output, f" --server {server}" if server else "")


def find_token(given: str | None, server: str) -> tuple[str | None, str]:
    """The token and where it is from. The one kept in ROOT is never sent to another machine."""
    if given:
        return given, "--token"
    if os.environ.get("FLOE_TOKEN"):
        return os.environ["FLOE_TOKEN"], "FLOE_TOKEN"
    if not is_this_machine(server):
        return None, ""
    kept = token_file()
    try:
        return kept.read_text().strip() or None, str(kept)
    except OSError:
        return None, ""


def token_file() -> Path:
    """Where `floe up` keeps the token that it made."""
    return (root_directory() / "token").absolute()


def root_directory() -> Path:
    """FLOE_ROOT from the environment or `.env`, by default `~/.floe`."""
    root = os.environ.get("FLOE_ROOT") or read_dotenv().get("FLOE_ROOT") or "~/.floe"
    return Path(root).expanduser()


def read_dotenv() -> Mapping[str, str | None]:
    """What `.env` of the working directory says; nothing when there is none."""
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return dotenv_values(".env", interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f".env: cannot read it: {error}") from None


def is_this_machine(server: str) -> bool:
    """Whether the address cannot be another machine's."""
    host = urlsplit(server if "//" in server else f"http://{server}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", socket.gethostname().lower())


def resolve_run(client: Client, text: str) -> str:
    """A ref, `last`, or a page's URL made a ref. Raises NotFound or ConfigurationError."""
    if text == "last":
        items = client.get("/runs", limit=1)["items"]
        if not items:
            raise NotFound("there is no run yet: start one with `floe run FLOW`")
        return str(items[0]["ref"])
    if "://" in text:
        return _ref_of_page(client, text)
    parse_ref(text)
    return text


def _ref_of_page(client: Client, url: str) -> str:
    parts = urlsplit(url)
    if f"{parts.scheme}://{parts.netloc}" != client.address:
        raise ConfigurationError(f"that page is of another server: add --server {parts.scheme}://{parts.netloc}")
    for part in reversed(f"{parts.path}/{parts.fragment}".split("/")):
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}-[1-9][0-9]{0,17}", part):
            return part
    raise NotFound(f"{url} is no page of a run")


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`key=text`, or `key:=JSON` for a number, a list and the like."""
    values: dict[str, Any] = {}
    for pair in pairs:
        found = _KEY.match(pair)
        key, rest = (found[0], pair[found.end() :]) if found else ("", pair)
        if rest.startswith(":="):
            values[key] = _json_value(key, rest[2:])
        elif rest.startswith("=") and key:
            values[key] = rest[1:]
        else:
            raise click.UsageError(f"{pair!r} does not read KEY=VALUE")
    return values


def _json_value(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise click.UsageError(f"{key}:= takes JSON, and {text!r} is none; {key}={text} gives it as text") from None


def all_items(client: Client, path: str, limit: int | None = None, **query: str | int | None) -> list[Any]:
    """Items of a list, page by page, up to `limit`."""
    items: list[Any] = []
    cursor: str | None = None
    while limit is None or len(items) < limit:
        size = None if limit is None else min(limit - len(items), 200)
        page = client.get(path, limit=size, cursor=cursor, **query)
        items += page["items"]
        cursor = page.get("next")
        if not cursor or not page["items"]:
            break
    return items


def reasons_of(pend: dict[str, Any]) -> list[str]:
    """Why a run waits, each reason in words."""
    return [printable(str(reason.get("text") or reason.get("kind"))) for reason in pend.get("reasons") or []]
