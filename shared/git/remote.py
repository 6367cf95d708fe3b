"""A repository elsewhere: its checked url, what it may be reached with, and what it says it has."""

from dataclasses import dataclass
from pathlib import Path

from shared.git.check import DEFAULT_PROTOCOLS, EVENT_PROTOCOLS, check_ref, check_url, masked
from shared.git.run import GitError, Say, quiet, run

_SYMREF = "ref: refs/heads/"


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to talk to. Checks its url (InvalidInput), so that whoever holds one may hand it to git."""

    url: str
    protocols: str = DEFAULT_PROTOCOLS
    key_file: str = ""
    """A private key for ssh; empty: the system's keys."""
    from_event: bool = False
    """The url came with an event, not from a definition: https and ssh only."""

    def __post_init__(self) -> None:
        check_url(self.url, self.protocols, self.from_event)

    def run(self, *args: str, cwd: Path | None = None, timeout_seconds: float | None = None, say: Say = quiet) -> str:
        """Run a git command that talks to this remote, and return its output. Raises GitError."""
        return run(
            args,
            cwd=cwd,
            protocols=":".join(p for p in self.protocols.split(":") if not self.from_event or p in EVENT_PROTOCOLS),
            key_file=self.key_file,
            timeout_seconds=timeout_seconds,
            say=say,
        )[1]

    def __str__(self) -> str:
        return masked(self.url)


def ls_remote(remote: Remote, pattern: str = "refs/*", timeout_seconds: float = 60.0) -> dict[str, str]:
    """The remote's refs that match a glob, with their hashes (`git ls-remote --refs`, FLOWS T-05).

    Raises GitError when it cannot be reached within `timeout_seconds`, InvalidInput for a pattern that is none.
    """
    check_ref(pattern.replace("*", "x").replace("?", "x"))
    out = remote.run("ls-remote", "--quiet", "--refs", "--", remote.url, pattern, timeout_seconds=timeout_seconds)
    pairs = (line.split("\t", 1) for line in out.splitlines() if "\t" in line)
    return {ref: commit for commit, ref in pairs}


def default_branch(remote: Remote, say: Say = quiet) -> str:
    """The branch that HEAD of the remote names. Raises GitError when it has none."""
    out = remote.run("ls-remote", "--quiet", "--symref", "--", remote.url, "HEAD", say=say)
    for line in out.splitlines():
        if line.startswith(_SYMREF):
            return line.removeprefix(_SYMREF).split("\t")[0]
    raise GitError(f"{remote} has no default branch: name one")
