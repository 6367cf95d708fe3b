"""The contract: complete, with examples, and a page that loads nothing from elsewhere."""

import re
from typing import Any

import httpx
import pytest

from tests.services.api.conftest import House

pytestmark = pytest.mark.anyio
PROMISED = {
    ("GET", "/me"),
    ("GET", "/flows"),
    ("GET", "/flows/{}"),
    ("GET", "/flows/{}/versions"),
    ("PUT", "/flows/{}"),
    ("POST", "/flows/validate"),
    ("POST", "/flows/{}/runs"),
    ("POST", "/triggers/data"),
    ("GET", "/triggers/{}"),
    ("GET", "/runs"),
    ("GET", "/runs/{}"),
    ("GET", "/runs/{}/events"),
    ("GET", "/runs/{}/nodes/{}/log"),
    ("POST", "/runs/{}/cancel"),
    ("POST", "/runs/{}/nodes/{}/data"),
    ("GET", "/pends"),
    ("GET", "/agents"),
    ("POST", "/agents/{}/drain"),
    ("POST", "/agents/{}/resume"),
    ("DELETE", "/agents/{}"),
    ("GET", "/events"),
}


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): o for path, methods in document["paths"].items() for method, o in methods.items()}


async def test_every_promised_endpoint_is_described(house: House) -> None:
    document = house.contract.document
    found = {
        (method, re.sub(r"\{[^}]+\}", "{}", path).removeprefix("/api/v1")) for method, path in operations(document)
    }
    assert found >= PROMISED
    assert ("GET", "/health/ready") in found


async def test_every_operation_says_what_it_does_and_how_it_fails(house: House) -> None:
    for (method, path), operation in operations(house.contract.document).items():
        assert operation["summary"], path
        assert operation["description"], path
        answers = operation["responses"]
        if path.startswith("/health"):
            assert operation["security"] == []
            continue
        assert {"401", "500", "503"} <= set(answers), (method, path)
        for status, answer in answers.items():
            for kind in answer.get("content", {}):
                assert (kind == "application/problem+json") == (int(status) >= 400), (path, status)


async def test_every_example_fits_its_schema(house: House) -> None:
    document = house.contract.document
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for shown in schema.get("examples", ()):
            assert list(house.contract.problems(shown, schema, name)) == []
            checked += 1
    for operation in operations(document).values():
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                if "example" in content:
                    assert list(house.contract.problems(content["example"], content["schema"], "")) == []
                    checked += 1
    assert checked > 100


async def test_every_reference_leads_somewhere(house: House) -> None:
    text = str(house.contract.document)
    names = set(re.findall(r"#/components/schemas/([A-Za-z_]+)", text))
    assert names <= set(house.contract.document["components"]["schemas"])


async def test_the_page_is_plain_and_complete(house: House) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{house.address}/docs")
    assert "script" not in answer.text
    assert re.findall(r'(?:src|href)="([^"]*)"', answer.text) == ["openapi.json"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for _, path in operations(house.contract.document):
        assert path in answer.text
