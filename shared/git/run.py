"""One git process: its environment, its settings, its end. What is asked of git is the other modules' concern."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shared.errors import FloeError
from shared.git.check import masked

Say = Callable[[str], None]
"""Takes one line for people, without its line end; credentials in urls are masked."""


class GitError(FloeError):
    """git could not do what was asked. The text is git's own last word, `output` all that it said; urls are masked."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


_SYSTEM = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME")
_TLS = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_PASSED = frozenset((*_SYSTEM, *_TLS, *_PROXIES))
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
    "commit.gpgSign=false",
    "rerere.enabled=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
)
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_WHO = {"NAME": "floe", "EMAIL": "floe@localhost"}


def quiet(_line: str) -> None:
    """A `Say` for callers that have no log."""


def environment(protocols: str, key_file: str = "") -> Mapping[str, str]:
    """git's whole environment: a short allow-list of ours, never a service's credentials."""
    env = {name: value for name, value in os.environ.items() if name in _PASSED}
    env |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_SSH_COMMAND": _SSH + (f" -o IdentitiesOnly=yes -i {shlex.quote(key_file)}" if key_file else ""),
    }
    return env | {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _WHO.items()}


def run(
    args: Sequence[str],
    *,
    cwd: Path | None = None,
    protocols: str = "",
    key_file: str = "",
    timeout_seconds: float | None = None,
    say: Say = quiet,
    good: Sequence[int] = (0,),
) -> tuple[int, str]:
    """Run `git ARGS`, say the command and what it prints as errors, and return its status and its output.

    Raises GitError for a status outside `good`, when git is missing, and after `timeout_seconds`, when git and its
    children are dead. The caller has checked every outside value among `args` and put `--` before it.
    """
    say("$ " + shlex.join(["git", *map(masked, args)]))
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; values are checked by `check`
            ["git", *settings, *args],  # noqa: S607 - git of our own PATH
            cwd=cwd,
            env=environment(protocols, key_file),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise GitError(f"cannot start git: {error}") from error
    status, out, err = _outcome(process, timeout_seconds)
    for line in err.splitlines():
        say(line)
    if status not in good:
        raise GitError(_last_word(err, status), err)
    return status, out


def _outcome(process: subprocess.Popen[bytes], timeout_seconds: float | None) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        raise GitError(f"git took longer than {timeout_seconds:g} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, out.decode(errors="replace"), masked(err.decode(errors="replace"))


def _last_word(err: str, status: int) -> str:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    for start in ("fatal:", "error:", "ERROR:"):
        for line in lines:
            if line.startswith(start):
                return "git: " + line.removeprefix(start).strip() + _hint(err)
    return f"git: {lines[-1]}" if lines else f"git exited with status {status}"


def _hint(err: str) -> str:
    if "Host key verification failed" in err:
        return " (host key verification failed: add the host to known_hosts of the user that runs this)"
    if "terminal prompts disabled" in err:
        return " (no credentials: give a key-file, or a credential helper to the user that runs this)"
    return ""
