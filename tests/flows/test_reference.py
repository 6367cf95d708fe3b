"""docs/flows.md: its examples are read without a finding, and no rule is left out."""

import re
from pathlib import Path

import pytest

from tests.flows.reading import lines, read

REFERENCE = (Path(__file__).parents[2] / "docs" / "flows.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
ROWS = {"F": 10, "E": 6, "T": 8, "D": 9, "N": 11}


def whole(example: str) -> str:
    """The example as a flow: triggers get a task, tasks a trigger and what they listen to."""
    if example.startswith("id:"):
        return example
    if example.startswith("triggers:"):
        return f"id: f\n{example}tasks: [{{id: e, type: end, listen: trigger.good}}]\n"
    others = "".join(
        f"- {{id: {name}, type: exec, listen: trigger.good, opts: {{cmd: ls}}}}\n" for name in ("unit", "style")
    )
    tested = "- {id: tested, class: merge, wait: [task.unit.good]}\n" if "id: tested" not in example else ""
    return f"id: f\ntriggers: [{{id: s, type: data}}]\ntasks:\n{others}{tested}{example}"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_reference_are_read(example: str) -> None:
    document = read(whole(example))
    assert [line for line in lines(whole(example)) if ": note: " not in line] == []
    assert len(document.flows) == 1


@pytest.mark.parametrize("row", [f"{letter}-{n:02}" for letter, last in ROWS.items() for n in range(1, last + 1)])
def test_every_row_stands_in_the_reference(row: str) -> None:
    assert re.search(rf"\*\*{row}[,.*]", REFERENCE)
