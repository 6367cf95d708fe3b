"""The one safe way to call git, for the agent's tasks, for polling and for flow files.

Standard library only, so that a task's own small program starts fast. Nothing here waits for a terminal, runs a hook,
follows a helper protocol or takes an outside value for an option (RELIABILITY §2). All functions block.
"""

from shared.git.check import (
    DEFAULT_PROTOCOLS,
    EVENT_PROTOCOLS,
    check_hash,
    check_ref,
    check_url,
    masked,
    repo_name,
)
from shared.git.checkout import Checkout, checkout_shallow
from shared.git.merge import Merged, merge
from shared.git.remote import Remote, ls_remote
from shared.git.run import GitError, Say

__all__ = [
    "DEFAULT_PROTOCOLS",
    "EVENT_PROTOCOLS",
    "Checkout",
    "GitError",
    "Merged",
    "Remote",
    "Say",
    "check_hash",
    "check_ref",
    "check_url",
    "checkout_shallow",
    "ls_remote",
    "masked",
    "merge",
    "repo_name",
]
