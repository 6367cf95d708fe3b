"""Ids and names of flows and nodes (FLOWS F-01): how one is made from the other, and what an id may look like."""

import re

from shared.errors import FloeError
from shared.flows.problems import quote

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TRIMMED = " .-"
_NOT_IN_AN_ID = re.compile(r"[^a-z0-9_-]")


class BadName(FloeError):
    """An id or a name that cannot be used (FLOWS F-01). `hint` is an id that could, or None."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def is_id(text: str) -> bool:
    """Whether the text can be an id, a host's name, or a directory's: `[a-z0-9][a-z0-9_-]{0,63}`."""
    return ID.fullmatch(text) is not None


def id_and_name(given_id: str, given_name: str) -> tuple[str, str]:
    """The id and name that a definition means by what it gives, either of which may be empty (FLOWS F-01).

    Calling it again on its own answer changes nothing. Raises BadName.
    """
    flow_id, name = given_id.strip(_TRIMMED).lower(), given_name.strip(_TRIMMED)
    if not flow_id and not name:
        raise BadName("has neither an id nor a name")
    if not flow_id:
        flow_id = _slug(name)
    if not name:
        name = flow_id.replace("-", " ")
    _check(flow_id, given_id.strip() if given_id.strip(_TRIMMED) else None)
    return flow_id, name


def _slug(text: str) -> str:
    return _NOT_IN_AN_ID.sub("-", text.lower())


def _check(flow_id: str, given: str | None) -> None:
    if is_id(flow_id):
        return
    what = f"the id {quote(given)}" if given is not None else f"the id {quote(flow_id)} that its name makes"
    usable = _slug(flow_id).strip("-_")[:64].rstrip("-_")
    hint = usable if is_id(usable) else None
    if len(flow_id) > 64:
        raise BadName(f"{what} has {len(flow_id)} characters; 64 are the most", hint)
    for character, called in ((" ", "space"), (".", "dot")):
        if character in flow_id:
            raise BadName(f"{what} holds a {called}; only a-z, 0-9, `-` and `_` may stand in an id", hint)
    raise BadName(f"{what} cannot be used: a letter or digit first, then only a-z, 0-9, `-` and `_`", hint)
