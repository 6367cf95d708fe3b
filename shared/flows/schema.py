"""What may stand in a definition: its keys, its types, and each type's options (FLOWS F-06, F-08, §3, §6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FLOW_KEYS = (
    "id",
    "ver",
    "name",
    "reuse-space",
    "keep-space",
    "host-tags",
    "resource-tags",
    "env",
    "secrets",
    "flow-file",
    "timeout",
    "notify",
    "triggers",
    "tasks",
)
NODE_KEYS = (
    "id",
    "name",
    "class",
    "type",
    "listen",
    "wait",
    "good",
    "ignore-fail",
    "use-status",
    "timeout",
    "secrets",
    "opts",
)
COMMON_KEYS = (
    "base-url",
    "config-path",
    "store-type",
    "workspace-root",
    "store-root",
    "git-key",
    "key-file",
    "notify",
    "hosts",
)
STORE_TYPES = ("memory", "local", "postgres")
FOR_TASKS_ONLY = ("listen", "wait", "good", "ignore-fail", "use-status", "timeout")

Kind = Literal["text", "texts", "env", "path", "period", "pattern", "cron", "timezone", "choices", "choice", "form"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `choices` are the words that a `choice` may be and `choices` may hold; `least` bounds a period."""

    kind: Kind
    required: bool = False
    choices: tuple[str, ...] = ()
    least: float = 0.0


TEXT, TEXTS, PATH, PATTERN = Option("text"), Option("texts"), Option("path"), Option("pattern")
ENV = Option("env")

TASKS: Mapping[str, Mapping[str, Option]] = {
    "exec": {"cmd": TEXT, "args": TEXTS, "shell": TEXT, "env": ENV, "sub-dir": PATH},
    "fetch": {
        "url": Option("text", required=True),
        "checksum": TEXT,
        "checksum-algo": Option("choice", choices=("sha256", "sha1", "md5", "sha512")),
        "location": PATH,
    },
    "git-checkout": {"url": TEXT, "branch": TEXT, "ref": TEXT, "hash": TEXT, "sub-dir": PATH, "key-file": TEXT},
    "git-merge": {
        "url": TEXT,
        "branch": TEXT,
        "ref": TEXT,
        "from-branch": TEXT,
        "from-ref": TEXT,
        "sub-dir": PATH,
        "key-file": TEXT,
    },
    "data": {"form": Option("form", required=True)},
    "timer": {"period": Option("period", required=True)},
    "end": {},
}

TRIGGERS: Mapping[str, Mapping[str, Option]] = {
    "data": {"form": Option("form"), "env": ENV},
    "timer": {"period": Option("period", least=1.0), "env": ENV},
    "cron": {"expression": Option("cron", required=True), "timezone": Option("timezone"), "env": ENV},
    "poll-git": {
        "url": Option("text", required=True),
        "refs": TEXTS,
        "exclude-refs": PATTERN,
        "exclude": PATTERN,
        "period": Option("period", least=1.0),
        "key-file": TEXT,
        "env": ENV,
    },
    "git-push": {
        "url": TEXT,
        "repo": TEXT,
        "refs": TEXTS,
        "exclude-refs": PATTERN,
        "exclude": PATTERN,
        "paths": TEXTS,
        "exclude-paths": TEXTS,
        "events": Option("choices", choices=("push", "tag", "pull-request")),
        "env": ENV,
    },
    "flow": {
        "flow": Option("text", required=True),
        "outcome": Option("choices", choices=("good", "bad", "cancelled")),
        "env": ENV,
    },
}

MERGES: Mapping[str, Mapping[str, Option]] = {"all": {}, "any": {}}
MERGE_ALIASES = {"one": "any"}

TYPES: Mapping[str, Mapping[str, Mapping[str, Option]]] = {"trigger": TRIGGERS, "task": TASKS, "merge": MERGES}

OTHERS_SAY = {
    "command": "cmd",
    "run": "shell",
    "script": "shell",
    "arguments": "args",
    "environment": "env",
    "dir": "sub-dir",
    "subdir": "sub-dir",
    "cwd": "sub-dir",
    "working-directory": "sub-dir",
    "sha256": "checksum",
    "sha": "hash",
    "commit": "hash",
    "tag": "branch",
    "cron": "expression",
    "schedule": "expression",
    "tz": "timezone",
    "interval": "period",
    "every": "period",
    "seconds": "period",
}
