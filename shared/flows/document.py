"""From a document's tree to flows: which kind of file it is, its `common` section, and what all of it adds up to.

One flow is `definition`'s work. Everything is reported in one go, problems of the graph beside fatal ones.
"""

from dataclasses import dataclass, field, replace
from typing import cast

from shared.flows.definition import read_one
from shared.flows.fields import Fields, report_repeats
from shared.flows.model import Common, Flow, StoreType
from shared.flows.problems import Problem, Report, in_file_order, quote
from shared.flows.schema import COMMON_KEYS, FLOW_KEYS, STORE_TYPES
from shared.flows.tree import Entries, Items, Tree, kind


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says: its flows without fatal problems, in file order, and every finding, by line."""

    common: Common = field(default_factory=Common)
    flows: tuple[Flow, ...] = ()
    problems: tuple[Problem, ...] = ()
    fatal: bool = False

    def problems_of(self, flow_id: str) -> tuple[Problem, ...]:
        """The findings in flows of that id."""
        return tuple(problem for problem in self.problems if problem.flow == flow_id)


def read_config(tree: Tree, report: Report) -> Document:
    """A file of `common` and `flows`, or one flow at top level (FLOWS F-07)."""
    if not isinstance(tree, Entries):
        return _no_mapping(tree, report)
    if "flows" not in tree.entries and "common" not in tree.entries:
        return read_flow(tree, report, None)
    top = Fields(tree, report)
    top.unknown(("common", "flows"), "a file with `flows`")
    report_repeats(tree, report, skip=("flows",))
    common = _common(top, report)
    flows = [read_one(entries, n, report) for n, entries in enumerate(top.mappings("flows"), 1)]
    return _document(common, _distinct([flow for flow in flows if flow], report), report)


def read_flow(tree: Tree, report: Report, default_id: str | None) -> Document:
    """One flow at top level."""
    if not isinstance(tree, Entries):
        return _no_mapping(tree, report)
    if "flows" in tree.entries:
        report.fatal("one flow is wanted here, at top level, and not a file of `flows`", tree.lines["flows"])
        return _document(Common(), [], report)
    flow = read_one(tree, 1, report, default_id)
    return _document(Common(), [flow] if flow else [], report)


def _no_mapping(tree: Tree, report: Report) -> Document:
    hint = " (a list of flows goes under `flows:`)" if isinstance(tree, Items) else ""
    keys = ", ".join(f"`{key}`" for key in FLOW_KEYS[:3])
    report.fatal(f"a definition is a mapping with keys like {keys}, and this is {kind(tree)}{hint}", tree.line)
    return _document(Common(), [], report)


def _document(common: Common, flows: list[Flow], report: Report) -> Document:
    found = (replace(problem, file=problem.file or report.file) for problem in report.found)
    return Document(common, tuple(flows), in_file_order(found), report.failed)


def _distinct(flows: list[Flow], report: Report) -> list[Flow]:
    """FLOWS F-05: of two flows with one id and version the first stays."""
    seen: dict[tuple[str, int], Flow] = {}
    for flow in flows:
        first = seen.setdefault((flow.id, flow.ver), flow)
        if first is not flow:
            what = f"the flow `{flow.ref}` stands twice, first in line {first.line}; give one another `ver`"
            report.fatal(what, flow.line)
    return list(seen.values())


def _common(top: Fields, report: Report) -> Common:
    tree = top.get("common")
    if tree is None:
        return Common()
    if not isinstance(tree, Entries):
        report.fatal(f"`common` must be a mapping, and is {kind(tree)}", top.line("common"))
        return Common()
    fields = Fields(tree, report)
    fields.unknown(COMMON_KEYS, "`common`")
    hosts = fields.get("hosts")
    if hosts is not None:
        report.note("`hosts` is not needed: agents announce themselves", fields.line("hosts"))
    return Common(
        base_url=fields.text("base-url") or Common().base_url,
        config_path=fields.text("config-path"),
        store_type=_store_type(fields, report),
        workspace_root=fields.text("workspace-root"),
        store_root=fields.text("store-root"),
        git_key=fields.text("git-key") or fields.text("key-file") or None,
        notify=fields.raw("notify"),
        hosts=_hosts(fields),
    )


def _hosts(fields: Fields) -> tuple[object, ...]:
    hosts = fields.raw("hosts")
    return tuple(hosts) if isinstance(hosts, list) else (hosts,) if hosts is not None else ()


def _store_type(fields: Fields, report: Report) -> StoreType | None:
    word = fields.text("store-type")
    if word is None or word in STORE_TYPES:
        return cast(StoreType | None, word)
    hint = report.suggest(word, STORE_TYPES)
    known = ", ".join(STORE_TYPES)
    report.fatal(f"the store-type {quote(word)} does not exist; there are {known}", fields.line("store-type"), hint)
    return None
