"""What tasks leave behind is deleted, whatever they made of it, and nothing else (RELIABILITY §4, path traversal)."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.agent.removing import remove, remove_all


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def nested(path: Path, depth: int) -> None:
    """Directories in each other, far deeper than a path or a stack may be long."""
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("directory", dir_fd=here)
        below = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.usefixtures("few_descriptors")
def test_any_depth_goes(tmp_path: Path) -> None:
    nested(tmp_path / "ws", 3000)
    remove(tmp_path / "ws")
    assert os.listdir(tmp_path) == []


def test_what_is_read_only_goes(tmp_path: Path) -> None:
    (tmp_path / "ws/a/b").mkdir(parents=True)
    (tmp_path / "ws/a/b/file").touch(0o400)
    for name in ("ws/a/b", "ws/a", "ws"):
        (tmp_path / name).chmod(0)
    remove(tmp_path / "ws")
    assert os.listdir(tmp_path) == []


def test_links_go_and_what_they_lead_to_stays_as_it_is(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "below").mkdir(parents=True)
    (kept / "file").write_text("text")
    for path, mode in ((kept / "file", 0o644), (kept / "below", 0o755), (kept, 0o755)):
        path.chmod(mode)
    (tmp_path / "ws/a").mkdir(parents=True)
    for n, target in enumerate((kept, kept / "file", tmp_path / "nowhere")):
        (tmp_path / f"ws/a/{n}").symlink_to(target)
        (tmp_path / f"link{n}").symlink_to(target)
    (tmp_path / "ws/a").chmod(0o500)
    remove_all([tmp_path / "ws", *(tmp_path / f"link{n}" for n in range(3)), tmp_path / "missing"])
    assert os.listdir(tmp_path) == ["kept"]
    assert (kept / "file").read_text() == "text"
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("kept", "kept/below", "kept/file")] == [
        0o755,
        0o755,
        0o644,
    ]


def test_pipes_sockets_and_files_go(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    os.mkfifo(tmp_path / "ws/pipe")
    (tmp_path / "file").touch()
    remove_all([tmp_path / "ws", tmp_path / "file"])
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_deleted_stays_and_the_rest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ws/a").mkdir(parents=True)
    for name in ("ws/a/stays", "ws/a/goes", "ws/stays", "ws/goes"):
        (tmp_path / name).touch()
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int | None = None) -> None:
        if name == "stays":
            raise PermissionError(1, "not yours")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    remove(tmp_path / "ws")
    assert sorted(os.listdir(tmp_path / "ws")) == ["a", "stays"]
    assert os.listdir(tmp_path / "ws/a") == ["stays"]
