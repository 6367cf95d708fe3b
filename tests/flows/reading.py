"""Short ways to read definitions in tests."""

from shared.flows.document import Document
from shared.flows.model import Flow
from shared.flows.parse import parse_document
from shared.flows.problems import render


def read(text: str) -> Document:
    """The text as the file `f.yml`."""
    return parse_document(text, "f.yml")


def lines(text: str) -> list[str]:
    """Every finding as `floe validate` shows it."""
    return [render(problem) for problem in read(text).problems]


def good(text: str) -> Flow:
    """The one flow of a text in which nothing is wrong."""
    document = read(text)
    assert [render(problem) for problem in document.problems] == []
    assert len(document.flows) == 1
    return document.flows[0]


def accepted(text: str) -> Flow:
    """The one flow of a text in which nothing is fatal."""
    document = read(text)
    assert not document.fatal, lines(text)
    return document.flows[0]


def with_task(task: str) -> str:
    """A flow with a trigger and one task, given as flow-style YAML; its line is 4."""
    return f"id: f\ntriggers: [{{id: start, type: data}}]\ntasks:\n- {{id: t, listen: trigger.good, {task}}}\n"


def with_trigger(trigger: str) -> str:
    """A flow with one trigger, in line 3, and one good task."""
    return (
        f"id: f\ntriggers:\n- {{id: start, {trigger}}}\n"
        "tasks: [{id: t, type: exec, listen: trigger.good, opts: {cmd: ls}}]\n"
    )
