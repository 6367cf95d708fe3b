"""What a flow is once it has been read: plain values, and their form as stored JSON.

Reading and judging definitions is the work of `parse`, `schema` and `graph`; nothing here looks for mistakes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NodeClass = Literal["trigger", "task", "merge"]
FieldType = Literal["text", "string", "number", "bool", "select", "multiline"]

StoreType = Literal["memory", "local", "postgres"]

TRIGGER_GOOD = "trigger.good"


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form (FLOWS T-03). `value` is the default, None when there is none; `options` are a select's."""

    id: str
    prompt: str = ""
    type: FieldType = "text"
    value: Any = None
    options: tuple[Any, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """What a data trigger or a data task asks of a person (FLOWS T-03, §6 data)."""

    title: str = ""
    fields: tuple[FormField, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A trigger, task or merge of a flow.

    `listen` is a task's tag, `wait` a merge's tags without repeats; a trigger has neither. A merge's type is `all` or
    `any` (FLOWS F-03). `opts` are the options as written, their names in lower case (F-06), placeholders still in them;
    they hold JSON values only. `line` is where the definition stands in its file, from 1; 0 when not known.
    """

    id: str
    name: str
    cls: NodeClass
    type: str
    listen: str | None = None
    wait: tuple[str, ...] = ()
    good: tuple[int, ...] = (0,)
    ignore_fail: bool = False
    use_status: bool = False
    timeout_seconds: float | None = None
    secrets: tuple[str, ...] = ()
    opts: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Flow:
    """One version of a flow's definition (FLOWS §1). Ids of its nodes are unique (F-02); `notify` is as written."""

    id: str
    ver: int = 1
    name: str = ""
    reuse_space: bool = False
    keep_space: bool = False
    host_tags: tuple[str, ...] = ()
    resource_tags: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    flow_file: str | None = None
    timeout_seconds: float | None = None
    notify: Any = None
    triggers: tuple[Node, ...] = ()
    tasks: tuple[Node, ...] = ()
    line: int = 0
    _by_id: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {node.id: node for node in (*self.triggers, *self.tasks)})

    def node(self, node_id: str) -> Node | None:
        """The trigger, task or merge of that id, in constant time."""
        return self._by_id.get(node_id)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Triggers, then tasks and merges, in file order."""
        return (*self.triggers, *self.tasks)

    @property
    def ref(self) -> str:
        """The text form `id@ver` (FLOWS F-05)."""
        return f"{self.id}@{self.ver}"


@dataclass(frozen=True, slots=True)
class Common:
    """The `common:` section of a configuration (FLOWS F-08); None or empty where the file says nothing.

    Paths are as written: `~` and `%tmp` (F-09) stay until `paths.resolve_path` is asked.
    """

    base_url: str = "/api/v1"
    config_path: str | None = None
    store_type: StoreType | None = None
    workspace_root: str | None = None
    store_root: str | None = None
    git_key: str | None = None
    notify: Any = None
    hosts: tuple[Any, ...] = ()


def node_to_json(node: Node) -> dict[str, Any]:
    """The node as JSON values; `node_from_json` takes it back."""
    return {
        "id": node.id,
        "name": node.name,
        "cls": node.cls,
        "type": node.type,
        "listen": node.listen,
        "wait": list(node.wait),
        "good": list(node.good),
        "ignore_fail": node.ignore_fail,
        "use_status": node.use_status,
        "timeout_seconds": node.timeout_seconds,
        "secrets": list(node.secrets),
        "opts": dict(node.opts),
        "line": node.line,
    }


def node_from_json(raw: dict[str, Any]) -> Node:
    """The node that `node_to_json` wrote. Trusts its input: what is stored was checked when it was read."""
    get = raw.get
    return Node(
        raw["id"],
        raw["name"],
        raw["cls"],
        raw["type"],
        get("listen"),
        tuple(get("wait", ())),
        tuple(get("good", (0,))),
        get("ignore_fail", False),
        get("use_status", False),
        get("timeout_seconds"),
        tuple(get("secrets", ())),
        get("opts", {}),
        get("line", 0),
    )


def to_json(flow: Flow) -> dict[str, Any]:
    """The snapshot that a run keeps (FLOWS T-07): JSON values only, lines included. `from_json` takes it back."""
    return {
        "id": flow.id,
        "ver": flow.ver,
        "name": flow.name,
        "reuse_space": flow.reuse_space,
        "keep_space": flow.keep_space,
        "host_tags": list(flow.host_tags),
        "resource_tags": list(flow.resource_tags),
        "env": list(flow.env),
        "secrets": list(flow.secrets),
        "flow_file": flow.flow_file,
        "timeout_seconds": flow.timeout_seconds,
        "notify": flow.notify,
        "triggers": [node_to_json(node) for node in flow.triggers],
        "tasks": [node_to_json(node) for node in flow.tasks],
        "line": flow.line,
    }


def from_json(raw: dict[str, Any]) -> Flow:
    """The flow that `to_json` wrote: `from_json(to_json(flow)) == flow`. Ignores unknown keys, defaults missing ones.

    Linear in the number of nodes and without checks: for snapshots, never for what comes from outside.
    """
    get = raw.get
    return Flow(
        raw["id"],
        get("ver", 1),
        get("name", ""),
        get("reuse_space", False),
        get("keep_space", False),
        tuple(get("host_tags", ())),
        tuple(get("resource_tags", ())),
        tuple(get("env", ())),
        tuple(get("secrets", ())),
        get("flow_file"),
        get("timeout_seconds"),
        get("notify"),
        tuple(map(node_from_json, get("triggers", ()))),
        tuple(map(node_from_json, get("tasks", ()))),
        get("line", 0),
    )


def definition_hash(flow: Flow) -> str:
    """SHA-256, hex, of the definition without line numbers and `ver`: equal for what is identical (FLOWS F-05)."""
    raw = to_json(flow)
    raw.pop("line")
    raw.pop("ver")
    for node in (*raw["triggers"], *raw["tasks"]):
        node.pop("line")
    text = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def version_to_store(flow: Flow, stored: Mapping[int, str]) -> tuple[int, bool]:
    """The version under which to keep a definition, and whether it is new (FLOWS F-05).

    `stored` maps the versions kept under this id to their `definition_hash`. Identical to one of them: that one, unless
    a higher version than any is asked for by number. Another definition under a version that is taken: the highest + 1.
    """
    if flow.ver > max(stored, default=0):
        return flow.ver, True
    mine = definition_hash(flow)
    if stored.get(flow.ver) == mine:
        return flow.ver, False
    same = [ver for ver, theirs in stored.items() if theirs == mine]
    if same:
        return max(same), False
    return (max(stored) + 1, True) if flow.ver in stored else (flow.ver, True)
