"""A real repository to clone from."""

import os
import subprocess
from pathlib import Path

_WHO = {f"GIT_{role}_{part}": "tester" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}


class Repository:
    """A repository with `main` checked out and nothing in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", ".")

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *args: str) -> str:
        env = {**os.environ, **_WHO}
        done = subprocess.run(["git", *args], cwd=self.path, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "change") -> str:
        """A commit that writes these files; its hash."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def commits(self, count: int) -> None:
        """History without content, fast."""
        head = self.git("rev-parse", "--abbrev-ref", "HEAD")
        lines = []
        for n in range(count):
            start = f"from refs/heads/{head}^0\n" if n == 0 else ""
            lines.append(f"commit refs/heads/{head}\ncommitter t <t> {1600000000 + n} +0000\ndata 1\nx\n{start}\n")
        text = "".join(lines).encode()
        subprocess.run(["git", "fast-import", "--quiet"], cwd=self.path, input=text, check=True)

    def branch(self, name: str, start: str = "HEAD") -> None:
        """Make a branch and check it out."""
        self.git("checkout", "--quiet", "-B", name, start)
