"""`floe validate` and `floe graph` need no server."""

import json
from pathlib import Path

import pytest

from tests.services.cli.conftest import Floe

GOOD = "id: a\ntriggers: [{id: t, type: data}]\ntasks: [{id: done, type: end, listen: trigger.good}]\n"
PROBLEM = GOOD.replace("trigger.good", "task.dnoe.good")
FATAL = GOOD.replace("type: end", "type: ende")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, text in (("good", GOOD), ("problem", PROBLEM), ("fatal", FATAL), ("broken", "a: [\n")):
        (tmp_path / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("problem", 1), ("fatal", 1), ("broken", 1), ("none", 2)])
def test_the_exit_code_says_how_it_is(floe: Floe, name: str, code: int) -> None:
    assert floe("validate", f"{name}.yaml").code == code


def test_a_finding_has_file_line_node_and_the_nearest_name(floe: Floe) -> None:
    out = floe("validate", "fatal.yaml").out
    assert out.startswith("fatal.yaml:3: fatal: [done] ")
    assert "did you mean end?" in out


def test_findings_may_be_json(floe: Floe) -> None:
    found = json.loads(floe("validate", "good.yaml", "problem.yaml", "-o", "json").out)
    assert {item["file"] for item in found} == {"problem.yaml"}


@pytest.mark.parametrize(
    ("form", "part"), [("text", "level 1\n  done"), ("mermaid", "flowchart LR"), ("svg", "<svg"), ("json", '"levels"')]
)
def test_a_graph_has_four_forms(floe: Floe, form: str, part: str) -> None:
    assert part in floe("graph", "good.yaml", "--format", form).out


def test_a_graph_of_what_cannot_be_read_is_refused(floe: Floe) -> None:
    ran = floe("graph", "broken.yaml")
    assert ran.code == 2
    assert "floe: broken.yaml has no flow" in ran.err
