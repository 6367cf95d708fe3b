"""Where tasks work: `spaces/FLOW/ws/RUN`, or `.../ws/single` for flows that reuse it (FLOWS D-09)."""

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from shared.bus.messages import TaskOffered

log = structlog.get_logger("floe.agent")

SINGLE = "single"
_ASKED_AT_ONCE = 50


class Workspaces:
    """`busy` lists the runs that have a live activation here: their workspaces are never pruned.

    Whether a run has ended only the cluster knows: `surplus` are those that are more than is to be kept, oldest first,
    and `remove_ended` takes the answer.
    """

    def __init__(self, root: Path, keep: int, busy: Callable[[], Iterable[str]]) -> None:
        self._root, self._keep, self._busy = root / "spaces", keep, busy
        self._emptying = asyncio.Lock()
        self._surplus: dict[str, Path] = {}

    def path(self, offer: TaskOffered) -> Path:
        """The workspace of the offer's run."""
        return self._root / offer.flow / "ws" / (SINGLE if offer.reuse_space else offer.run)

    def ready(self, offer: TaskOffered) -> Path | None:
        """The workspace if it is there for this run, or can be made in an instant; None when it has to be emptied."""
        path = self.path(offer)
        if not offer.reuse_space:
            _make(path)
            return path
        if self._owner(path) == offer.run:
            return path
        if path.exists() and not offer.keep_space and any(path.iterdir()):
            return None
        _make(path)
        self._own(path, offer.run)
        return path

    async def prepare(self, offer: TaskOffered) -> Path:
        """The workspace, emptied first where it has to be: once per run, whoever of it asks first. Raises OSError."""
        async with self._emptying:
            if (path := self.ready(offer)) is not None:
                return path
            path = self.path(offer)
            await asyncio.to_thread(_empty, path)
            self._own(path, offer.run)
            return path

    async def look(self) -> None:
        """Find what is beyond the number that is kept of each flow."""
        if self._keep:
            self._surplus = await asyncio.to_thread(_beyond, self._root, self._keep)

    def surplus(self) -> list[str]:
        """Runs whose workspaces may go once they have ended, the oldest of them, a beat's worth."""
        busy = set(self._busy())
        return [run for run in self._surplus if run not in busy][:_ASKED_AT_ONCE]

    async def remove_ended(self, runs: Iterable[str]) -> None:
        """Remove the workspaces of these runs, which have ended."""
        busy = set(self._busy())
        paths = [self._surplus.pop(run) for run in runs if run in self._surplus and run not in busy]
        await asyncio.to_thread(remove_all, paths)

    def _owner(self, path: Path) -> str:
        try:
            return path.with_name("single.run").read_text()
        except OSError:
            return ""

    def _own(self, path: Path, run: str) -> None:
        """Which run it was last made ready for: it is emptied once per run, not per activation."""
        path.with_name("single.run").write_text(run)


def _make(path: Path) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def _empty(path: Path) -> None:
    aside = path.with_name(f"{path.name}.old")
    remove(aside)
    if path.exists():
        os.rename(path, aside)
    _make(path)
    remove(aside)


def _beyond(root: Path, keep: int) -> dict[str, Path]:
    """Run to workspace, oldest first, without the newest `keep` of each flow."""
    found: list[tuple[float, Path]] = []
    for flow in root.glob("*/ws"):
        mine = sorted((entry.stat().st_mtime, Path(entry.path)) for entry in os.scandir(flow) if _of_a_run(entry))
        found += mine[:-keep]
    return {path.name: path for _, path in sorted(found)}


def _of_a_run(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(SINGLE)


def remove(path: Path) -> None:
    """Delete a directory with all that is in it, also what a task has made read-only. Missing is fine."""
    if path.exists():
        shutil.rmtree(path, onerror=_open_up)


def _open_up(function: Callable[..., object], name: str, error: tuple[type[BaseException], BaseException, Any]) -> None:
    """What could not be removed: allow it in the directory that holds it, or in itself, and try once more."""
    try:
        os.chmod(os.path.dirname(name), 0o700)
        if not stat.S_ISDIR(os.lstat(name).st_mode):
            os.unlink(name)
        elif function in (os.rmdir, os.lstat):
            os.rmdir(name)
        else:
            os.chmod(name, 0o700)
            shutil.rmtree(name)
    except FileNotFoundError:
        pass
    except OSError as again:
        log.warning("workspace.not_removed", path=name, error=str(again))


def remove_all(paths: Iterable[Path]) -> None:
    """Remove each of them."""
    for path in paths:
        remove(path)
