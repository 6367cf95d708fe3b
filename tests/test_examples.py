"""The examples are what people copy from: nothing may be wrong with them."""

from pathlib import Path

import pytest

from shared.flows.parse import parse_document

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_no_problems(path: Path) -> None:
    document = parse_document(path.read_bytes(), path.name)
    assert document.flows
    assert document.problems == ()


def test_the_examples_flows_have_ids_of_their_own() -> None:
    ids = [flow.id for path in EXAMPLES for flow in parse_document(path.read_bytes()).flows]
    assert ids == ["ci", "hello", "print-letters", "print-photos"]
