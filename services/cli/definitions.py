"""Flow files on this machine: `floe validate`, `floe graph`, and reading them to store. No server needed."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from services.cli import exits
from services.cli.render import colourful, out, say, show
from shared.errors import ConfigurationError, InvalidInput
from shared.flows import problems as findings
from shared.flows.document import Document
from shared.flows.model import Flow
from shared.flows.parse import MOST_BYTES, parse_document, read_tree
from shared.flows.tree import Entries, Items, plain

_COLOURS = {"fatal": "red", "problem": "yellow", "note": None}
_SUFFIXES = (".yaml", ".yml", ".json")


def read_file(path: Path) -> Document:
    """What a file says, and what is wrong with it. `-` is stdin. Raises ConfigurationError when it cannot be read."""
    return parse_document(_read(path), "stdin" if str(path) == "-" else str(path))


def _read(path: Path) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(MOST_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from None


def files_of(path: Path) -> list[Path]:
    """The flow files that a path means: itself, or those of a directory, by name."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not found:
        raise ConfigurationError(f"{path} has no flow files in it ({', '.join(_SUFFIXES)})")
    return found


def say_problems(document: Document) -> None:
    """Every finding in a line of its own, on stderr."""
    for found in document.problems:
        text = findings.render(found)
        say(click.style(text, fg=_COLOURS[found.level]) if colourful(err=True) else text)


def bodies_of(path: Path) -> list[tuple[str, bytes, str]]:
    """The flows of a file as the api takes them: id, body, media type. A file of one flow goes as it is.

    Raises InvalidInput when one of them is refused, after saying all that is wrong.
    """
    text = _read(path)
    document = parse_document(text, str(path))
    if document.fatal:
        say_problems(document)
        raise InvalidInput(f"{path} is not stored: put right what is fatal above")
    tree = read_tree(text)
    flows = tree.entries.get("flows") if isinstance(tree, Entries) else None
    if not isinstance(flows, Items):
        return [(flow.id, text, "application/yaml") for flow in document.flows]
    parts = [json.dumps(plain(item)).encode() for item in flows.items]
    return [(flow.id, part, "application/json") for flow, part in zip(document.flows, parts, strict=True)]


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True)
def validate_command(files: tuple[Path, ...], output: Any) -> None:
    """Check flow files: exit 0 when they are good, 1 when something is wrong, 2 when one cannot be read."""
    documents = [read_file(file) for path in files for file in files_of(path)]
    found = [problem for document in documents for problem in document.problems]
    data = [{**findings.to_json(problem), "file": problem.file} for problem in found]
    show(data, output, lambda: "\n".join(_line(problem) for problem in found))
    wrong = any(problem.level != "note" for problem in found)
    if output == "table" and not wrong:
        flows = [flow.id for document in documents for flow in document.flows]
        say(f"good: {', '.join(flows) or 'no flow in it'}")
    if wrong:
        exits.leave(exits.BAD)


def _line(problem: findings.Problem) -> str:
    return click.style(findings.render(problem), fg=_COLOURS[problem.level])


@click.command("graph")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "svg", "json"]), default="text", show_default=True
)
@click.option("--flow", metavar="ID", help="This flow, where the file has several.")
def graph_command(file: Path, form: str, flow: str | None) -> None:
    """The levels and edges of a flow."""
    from shared.flows import draw

    document = read_file(file)
    if document.fatal:
        say_problems(document)
    chosen = _choose(document, file, flow)
    if form == "json":
        show(draw.as_json(chosen), "json", str)
        return
    text = {"text": draw.as_text, "mermaid": draw.as_mermaid, "svg": draw.as_svg}[form](chosen)
    out(text.rstrip("\n"))


def _choose(document: Document, file: Path, wanted: str | None) -> Flow:
    flows = [flow for flow in document.flows if wanted in (None, flow.id)]
    if not flows:
        have = ", ".join(flow.id for flow in document.flows) or "none that can be read"
        raise InvalidInput(f"{file} has no flow {wanted or ''}".rstrip() + f"; it has {have}")
    if len(flows) > 1:
        raise InvalidInput(f"{file} has several flows, choose one: --flow {' | '.join(flow.id for flow in flows)}")
    return flows[0]
