"""Paths that a definition or an event names: inside the workspace, or refused (FLOWS §6, RELIABILITY §4, F-09).

Text only; whoever opens the path checks again that no symbolic link leads out.
"""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from shared.flows.expand import WrongOption, expand_text, text_of


def inside(ws: str, sub: str, what: str = "path") -> str:
    """The absolute path of `sub` in the workspace, normalised. Safe to call again on its own answer.

    Raises WrongOption, naming `what`, for NUL, a `..`, a leading `-`, and an absolute path outside.
    """
    shown = sub[:80].replace("\0", "\\0")
    if "\0" in sub:
        raise WrongOption(f"{what} `{shown}` holds a NUL byte")
    if ".." in sub.split("/"):
        raise WrongOption(f"{what} `{shown}` holds `..`; it must stay inside the workspace")
    root = posixpath.normpath(ws)
    path = posixpath.normpath(posixpath.join(root, sub))
    if path != root and not path.startswith(root.rstrip("/") + "/"):
        raise WrongOption(f"{what} `{shown}` is outside the workspace")
    if sub.startswith("-") or posixpath.relpath(path, root).startswith("-"):
        raise WrongOption(f"{what} `{shown}` starts with `-`")
    return path


def fetch_place(location: Any, download_name: str, ws: str, opts: Mapping[str, Any]) -> str:
    """Where a fetched file goes (FLOWS §6 fetch): `location`, or into it where it ends in `/` or is the workspace.

    Without a location: the workspace's root under the download's name. Raises WrongOption.
    """
    name = posixpath.basename(download_name.rstrip("/"))
    name = name if name not in ("", ".", "..") else "download"
    if location in (None, ""):
        return inside(ws, name, "the download's name")
    text = expand_text(text_of(location), ws, None, opts)
    path = inside(ws, text, "location")
    is_directory = text.endswith("/") or path == posixpath.normpath(ws)
    return inside(ws, posixpath.join(path, name), "location") if is_directory else path


def key_file(text: Any, ws: str, opts: Mapping[str, Any]) -> str | None:
    """The path of a `key-file`, which may lie outside the workspace; a relative one is under it. Raises WrongOption."""
    if text in (None, ""):
        return None
    path = expand_text(text_of(text), ws, None, opts)
    if path.startswith("-"):
        raise WrongOption(f"key-file `{path[:80]}` starts with `-`")
    return path if path.startswith("~") else posixpath.join(ws, path)


def resolve_path(text: str, home: str, make_temporary: Callable[[], str]) -> str:
    """A path of `common` (FLOWS F-09): `~` first is the home directory, `%tmp` first a fresh temporary directory."""
    first, slash, rest = text.partition("/")
    if first == "~":
        return home + slash + rest
    if first == "%tmp":
        return make_temporary() + slash + rest
    return text
