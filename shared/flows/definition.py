"""One flow's definition, and its nodes, from a mapping (FLOWS F-01 to F-06).

Reads on after a fatal problem, so that everything is reported in one go; what is then left serves only to check the
graph.
"""

from dataclasses import replace
from typing import Any

from shared.flows.fields import Fields, report_repeats
from shared.flows.graph_check import graph_problems
from shared.flows.model import Flow, Node, NodeClass
from shared.flows.names import BadName, id_and_name
from shared.flows.option_checks import check_env
from shared.flows.options import read_opts
from shared.flows.problems import Report, quote
from shared.flows.schema import ENV, FLOW_KEYS, FOR_TASKS_ONLY, MERGE_ALIASES, NODE_KEYS, TYPES
from shared.flows.tags import SYSTEM, WITH_STATUS
from shared.flows.tree import Entries


def read_one(entries: Entries, n: int, report: Report, default_id: str | None = None) -> Flow | None:
    """The n-th flow of a file; None when something in it is fatal. Reports everything, the graph's problems too."""
    report = report.within(f"flow {n} - ", entries.line)
    fields = Fields(entries, report)
    names = _names(fields, report, default_id)
    report.flow = names[0] if names else None
    report_repeats(entries, report, skip=("triggers", "tasks"))
    fields.unknown(FLOW_KEYS, "a flow")
    triggers, tasks = _nodes(fields, report)
    env = fields.texts("env")
    check_env("env", env, ENV, fields.line("env"), report)
    flow = Flow(
        id=names[0] if names else "",
        ver=fields.whole("ver", 1, 1),
        name=names[1] if names else "",
        reuse_space=fields.flag("reuse-space"),
        keep_space=fields.flag("keep-space"),
        host_tags=fields.texts("host-tags"),
        resource_tags=fields.texts("resource-tags"),
        env=env,
        secrets=fields.texts("secrets"),
        flow_file=_flow_file(fields, report),
        timeout_seconds=fields.seconds("timeout"),
        notify=fields.raw("notify"),
        triggers=triggers,
        tasks=tasks,
        line=entries.line,
    )
    if flow.keep_space and not flow.reuse_space:
        report.note("`keep-space` counts only together with `reuse-space`", fields.line("keep-space"))
    report.found.extend(replace(problem, flow=report.flow) for problem in graph_problems(flow, len(report.found)))
    return None if report.failed else flow


def _names(fields: Fields, report: Report, default_id: str | None = None) -> tuple[str, str] | None:
    """FLOWS F-01; None after a fatal problem."""
    given_id, given_name = fields.text("id") or "", fields.text("name") or ""
    if default_id and not given_id and not given_name:
        given_id = default_id
    try:
        return id_and_name(given_id, given_name)
    except BadName as error:
        report.fatal(str(error), fields.line("id" if given_id else "name"), error.hint)
        return None


def _flow_file(fields: Fields, report: Report) -> str | None:
    path = fields.text("flow-file")
    if path and (path.startswith("-") or "\0" in path):
        report.fatal(f"the flow-file {quote(path)} starts with `-`", fields.line("flow-file"))
    return path or None


def _nodes(fields: Fields, report: Report) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Triggers and tasks without those whose id is no id or taken (FLOWS F-02)."""
    seen: dict[str, int] = {}
    found: dict[str, list[Node]] = {"triggers": [], "tasks": []}
    for section, nodes in found.items():
        for n, entries in enumerate(fields.mappings(section), 1):
            node = _node(entries, section, n, report, seen)
            if node is not None:
                nodes.append(node)
    return tuple(found["triggers"]), tuple(found["tasks"])


def _node(entries: Entries, section: str, n: int, report: Report, seen: dict[str, int]) -> Node | None:
    cls, wrong_class = _class(Fields(entries, report), section)
    report = report.within(f"{cls} {n} - ", entries.line)
    fields = Fields(entries, report)
    report.node = f"{cls} {n}"
    names = _names(fields, report)
    report.node = names[0] if names else report.node
    if wrong_class:
        wanted = "`trigger`" if cls == "trigger" else "`task` or `merge`"
        report.fatal(f"the class under `{section}` can be {wanted}, not {quote(wrong_class)}", fields.line("class"))
    report_repeats(entries, report)
    node = _read_node(fields, cls, names or ("", ""), report)
    if names is None:
        return None
    if node.id in seen:
        what = f"the id `{node.id}` is taken by line {seen[node.id]}; triggers, tasks and merges share their ids"
        report.fatal(what, fields.line("id") if "id" in entries.entries else None)
        return None
    seen[node.id] = entries.line
    return node


def _class(fields: Fields, section: str) -> tuple[NodeClass, str | None]:
    """FLOWS F-03: the class, and what was written in its place."""
    tree = fields.get("class")
    word = getattr(tree, "text", "a list or mapping") if tree else ""
    if section == "triggers":
        return "trigger", None if word in ("", "trigger") else word
    if word == "merge":
        return "merge", None
    return "task", None if word in ("", "task") else word


def _read_node(fields: Fields, cls: NodeClass, names: tuple[str, str], report: Report) -> Node:
    type_ = _type(fields, cls, report)
    _keys(fields, cls, type_, report)
    listen, wait = _tags(fields, cls, report)
    node = Node(
        id=names[0],
        name=names[1],
        cls=cls,
        type=type_,
        listen=listen,
        wait=wait,
        good=fields.wholes("good", (0,)),
        ignore_fail=fields.flag("ignore-fail"),
        use_status=fields.flag("use-status"),
        timeout_seconds=fields.seconds("timeout"),
        secrets=fields.texts("secrets"),
        opts=read_opts(fields.get("opts"), cls, type_, report),
        line=fields.entries.line,
    )
    _status(node, fields, report)
    return node


def _type(fields: Fields, cls: NodeClass, report: Report) -> str:
    written = fields.text("type") or ("all" if cls == "merge" else "")
    type_ = MERGE_ALIASES.get(written, written) if cls == "merge" else written
    if type_ in TYPES[cls]:
        return type_
    known = TYPES[cls]
    if not written:
        report.fatal(f"has no type; there are {', '.join(known)}")
    else:
        hint = report.suggest(written, known)
        report.fatal(
            f"there is no {cls} of type {quote(written)}; there are {', '.join(known)}", fields.line("type"), hint
        )
    return type_


def _keys(fields: Fields, cls: NodeClass, type_: str, report: Report) -> None:
    """FLOWS F-04, and what is known but does nothing here."""
    options: dict[str, Any] = dict(TYPES[cls].get(type_, {}))
    known = (*NODE_KEYS, *(key for key in fields.entries.entries if key.lower() in options))
    fields.unknown(known, f"a {cls}")
    for key, line in fields.entries.lines.items():
        if key not in NODE_KEYS and key.lower() in options:
            report.problem(f"`{key}` is an option and counts only under `opts`", line)
        elif cls == "trigger" and key in FOR_TASKS_ONLY:
            report.problem(f"`{key}` does nothing on a trigger", line)


def _tags(fields: Fields, cls: NodeClass, report: Report) -> tuple[str | None, tuple[str, ...]]:
    """FLOWS F-03, E-03."""
    own, other = ("wait", "listen") if cls == "merge" else ("listen", "wait")
    if cls != "trigger" and fields.get(other) is not None:
        meant = "class: merge" if cls == "task" else own
        report.fatal(f"a {cls} has `{own}`, not `{other}`", fields.line(other), meant)
    if cls == "merge":
        wait = tuple(dict.fromkeys(fields.texts("wait")))
        _no_system_tags(wait, fields.line("wait"), report)
        return None, wait
    listen = fields.text("listen") if cls == "task" else None
    _no_system_tags((listen or "",), fields.line("listen"), report)
    return listen or None, ()


def _no_system_tags(tags: tuple[str, ...], line: int, report: Report) -> None:
    for tag in tags:
        if tag.startswith(SYSTEM):
            report.fatal(f"nodes cannot listen to the system's tags, and {quote(tag)} is one", line)


def _status(node: Node, fields: Fields, report: Report) -> None:
    if node.use_status and node.ignore_fail:
        report.problem("has both `ignore-fail` and `use-status`; `ignore-fail` wins", fields.line("use-status"))
    elif node.use_status and node.cls == "task" and node.type in TYPES["task"] and node.type not in WITH_STATUS:
        report.problem(f"`use-status` does nothing: {node.type} has no exit status", fields.line("use-status"))
