"""git-checkout and git-merge: the options, checked, as a program's spec (FLOWS §6, N-01, N-07)."""

from pathlib import Path
from typing import Any

from services.agent.tasks import own
from services.agent.tasks.paths import check_inside, made_inside, url_in
from services.agent.tasks.plan import TaskError, TaskPlace, TaskPlan, TaskSettings
from shared.bus.messages import TaskOffered
from shared.errors import InvalidInput
from shared.flows.command import work_dir
from shared.flows.opts import Given, git_options
from shared.flows.paths import key_file
from shared.git.check import check_hash, check_ref, check_url, repo_name


def plan_checkout(offer: TaskOffered, place: TaskPlace, settings: TaskSettings) -> TaskPlan:
    """A checkout of branch, tag, commit, or the default branch into `ws/sub-dir/REPO`. Raises TaskError."""
    given = _given(offer)
    branch, commit = (_optional(given, key) for key in ("branch", "hash"))
    try:
        if branch:
            check_ref(branch)
        spec = _spec(offer, place, settings, given)
        return own.plan(
            offer, place, settings, {**spec, "branch": branch, "hash": check_hash(commit) if commit else ""}
        )
    except InvalidInput as error:
        raise TaskError(str(error)) from error


def plan_merge(offer: TaskOffered, place: TaskPlace, settings: TaskSettings) -> TaskPlan:
    """`from-branch` merged into `branch`, in `ws/sub-dir/REPO`. Raises TaskError."""
    given = _given(offer)
    for key in ("branch", "from-branch"):
        if key not in given:
            raise TaskError(f"{offer.task} wants `{key}`, and has none")
    names = {"branch": given["branch"].value, "from_branch": given["from-branch"].value}
    try:
        for name in names.values():
            check_ref(name)
        return own.plan(offer, place, settings, {**_spec(offer, place, settings, given), **names})
    except InvalidInput as error:
        raise TaskError(str(error)) from error


def _given(offer: TaskOffered) -> dict[str, Given]:
    return git_options(offer.definition, offer.opts)


def _optional(given: dict[str, Given], key: str) -> str:
    return given[key].value if key in given else ""


def _spec(offer: TaskOffered, place: TaskPlace, settings: TaskSettings, given: dict[str, Given]) -> dict[str, Any]:
    if "url" not in given:
        raise TaskError(f"{offer.task} wants `url`, and has none")
    ws, url = place.workspace, url_in(place.workspace, given["url"])
    check_url(url, settings.git_protocols, given["url"].outside)
    parent = made_inside(ws, Path(work_dir(offer.definition, offer.opts, str(ws))), "sub-dir")
    into = parent / repo_name(url)
    check_inside(ws, into, "sub-dir")
    return {
        "url": url,
        "protocols": settings.git_protocols,
        "from_event": given["url"].outside,
        "key_file": _key_file(offer, ws) or settings.git_key,
        "into": str(into),
        "workspace": str(ws),
    }


def _key_file(offer: TaskOffered, ws: Path) -> str:
    path = key_file(offer.definition.get("key-file"), str(ws), offer.opts)
    if path is None:
        return ""
    found = Path(path).expanduser()
    if not found.is_file():
        raise TaskError(f"key-file: there is no file {found}")
    return str(found)
