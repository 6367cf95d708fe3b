"""Where tasks work: `spaces/FLOW/ws/RUN`, or `.../ws/single` for flows that reuse it (FLOWS D-09)."""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from services.agent.removing import is_directory, remove_all
from shared.bus.messages import TaskOffered

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
        if not offer.reuse_space or self._owner(path) == offer.run:
            _make(path)
            return path
        if os.path.lexists(path) and not _usable(path, as_it_is=offer.keep_space):
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


def _usable(path: Path, *, as_it_is: bool) -> bool:
    """Whether a reused workspace can be handed to another run without more ado: a real directory, and an empty one."""
    return is_directory(path) and (as_it_is or (os.access(path, os.R_OK | os.X_OK) and not any(path.iterdir())))


def _make(path: Path) -> None:
    """Raises NotADirectoryError when a task has put something else in its place, a link above all."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not is_directory(path):
            raise NotADirectoryError(f"{path} is no directory any more") from None
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)


def _empty(path: Path) -> None:
    """What cannot be removed stays aside, and is tried again the next time."""
    aside = path.with_name(f"{path.name}.old.{secrets.token_hex(4)}")
    if os.path.lexists(path):
        os.rename(path, aside)
    _make(path)
    remove_all(path.parent.glob(f"{path.name}.old*"))


def _beyond(root: Path, keep: int) -> dict[str, Path]:
    """Run to workspace, oldest first, without the newest `keep` of each flow."""
    found: list[tuple[float, Path]] = []
    for flow in filter(is_directory, root.glob("*/ws")):
        mine = sorted((entry.stat().st_mtime, Path(entry.path)) for entry in os.scandir(flow) if _of_a_run(entry))
        found += mine[:-keep]
    return {path.name: path for _, path in sorted(found)}


def _of_a_run(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(SINGLE)
