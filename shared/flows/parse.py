"""Reads a YAML or JSON document into flows; the only place that knows the YAML library (FLOWS F-10, RELIABILITY §2).

Only the library's event stream is used, whose parsers need no recursion: size, depth, aliases and nodes are bounded on
it, before anything is built. What the tree means is for `document`.
"""

import re
from typing import Any

import yaml

from shared.flows.compose import Composer, FlowSyntaxError
from shared.flows.document import Document, read_config, read_flow
from shared.flows.problems import Report, in_file_order
from shared.flows.tree import Tree

__all__ = ["Document", "FlowSyntaxError", "parse_document", "parse_flow", "read_tree"]

MOST_BYTES = 1024 * 1024

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")

_JSON_RAW = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff]")
"""What JSON allows in its strings as it is, and YAML takes for line breaks or refuses."""


def parse_document(text: str | bytes, file: str | None = None) -> Document:
    """Everything that the text says, and everything that is wrong with it, in one go; raises nothing.

    Takes a configuration (`common` and `flows`) or one flow (FLOWS F-07), as YAML or JSON. A flow with a fatal problem
    is not among the flows; text that cannot be read at all is one fatal problem.
    """
    report = Report(file)
    try:
        tree = read_tree(text)
    except FlowSyntaxError as error:
        report.fatal(str(error), error.line)
        return Document(problems=in_file_order(report.found), fatal=True)
    return read_config(tree, report)


def parse_flow(text: str | bytes, file: str | None = None, default_id: str | None = None) -> Document:
    """As `parse_document`, for one flow at top level, which is what a flow-file holds (FLOWS F-07, T-08).

    `default_id` stands in where the text has neither id nor name. The document has one flow, or is fatal.
    """
    report = Report(file)
    try:
        tree = read_tree(text)
    except FlowSyntaxError as error:
        report.fatal(str(error), error.line)
        return Document(problems=in_file_order(report.found), fatal=True)
    return read_flow(tree, report, default_id)


def read_tree(text: str | bytes) -> Tree:
    """The document's tree. Raises FlowSyntaxError, and nothing else, whatever the text."""
    source = _source(text)
    composer = Composer()
    try:
        for event in yaml.parse(source, Loader=_LOADER):
            _hand_over(event, composer)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise FlowSyntaxError(f"this is not YAML: {str(error).splitlines()[0][:200]}") from None
    if composer.root is None:
        raise FlowSyntaxError("the document is empty")
    return composer.root


def _hand_over(event: Any, composer: Composer) -> None:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.ScalarEvent):
        is_plain = event.tag is None and bool(event.implicit[0])
        composer.scalar(str(event.value), event.tag, is_plain, event.anchor, line)
    elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
        composer.begin(isinstance(event, yaml.MappingStartEvent), event.tag, event.anchor, line)
    elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
        composer.end()
    elif isinstance(event, yaml.AliasEvent):
        composer.alias(str(event.anchor), line)
    elif isinstance(event, yaml.DocumentStartEvent) and composer.root is not None:
        raise FlowSyntaxError("a second document starts here; a file holds one", line)


def _source(text: str | bytes) -> str:
    try:
        raw = text.encode() if isinstance(text, str) else text
        if len(raw) > MOST_BYTES:
            raise FlowSyntaxError(f"the document has {len(raw) / MOST_BYTES:.1f} MiB; at most 1 MiB is read")
        source = raw.decode("utf-8-sig")
    except UnicodeError:
        raise FlowSyntaxError("the document is not UTF-8 text") from None
    if source.lstrip()[:1] in ("{", "["):
        return _JSON_RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", _JSON_PAIR.sub(_joined, source))
    return source


def _joined(found: re.Match[str]) -> str:
    """JSON writes a character beyond the first 65,536 as two escapes; YAML does not know that."""
    high, low = int(found[2], 16) - 0xD800, int(found[3], 16) - 0xDC00
    return found[1] + chr(0x10000 + (high << 10) + low)


def _syntax_error(error: yaml.MarkedYAMLError, source: str) -> FlowSyntaxError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    what = error.problem or error.context or "it cannot be read"
    lines = source.split("\n")
    if mark and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        what = "a tab stands where only spaces may indent"
    elif "mapping values are not allowed" in what:
        what = "a `:` stands where no key can be (is the text before it, or the line above, missing quotes or a space?)"
    return FlowSyntaxError(f"this is not YAML: {what}", line)
