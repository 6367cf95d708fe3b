"""Holds every answer that a test receives against the OpenAPI document: status, media type, shape.

A small reading of JSON Schema, as much as the document uses; `check` fails the test that made the request.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import msgspec

Json = Mapping[str, Any]
_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


class ContractCheck:
    """The document, and the check of one answer."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.seen: set[tuple[str, str, int]] = set()

    def check(self, answer: httpx.Response) -> None:
        """Fail when the answer is not one that the document describes. Its body has been read."""
        kind = answer.headers.get("content-type", "").partition(";")[0]
        body = msgspec.json.decode(answer.content) if kind.endswith("json") else None
        found = self._operation(answer.request.method, answer.request.url.path)
        if answer.status_code >= 400:
            assert kind == "application/problem+json" or "/health/" in answer.request.url.path, (kind, answer.content)
            if kind == "application/problem+json":
                self._fits(body, {"$ref": "#/components/schemas/Problem"})
                assert body["status"] == answer.status_code
                assert (answer.status_code < 500) or body["id"]
        if found is None:
            assert answer.status_code in (401, 404, 405, 413, 429), f"{answer.request.url} is not documented"
            return
        path, operation = found
        self.seen.add((answer.request.method, path, answer.status_code))
        if answer.status_code in (405, 413):
            return
        documented = operation["responses"].get(str(answer.status_code))
        assert documented is not None, f"{answer.status_code} of {answer.request.method} {path} is not documented"
        content = documented.get("content", {})
        assert not answer.content or kind in content, f"{kind} of {path} {answer.status_code}, documented: {content}"
        if body is not None:
            self._fits(body, content[kind]["schema"])

    def _operation(self, method: str, path: str) -> tuple[str, Json] | None:
        for template, methods in sorted(self.document["paths"].items(), key=lambda item: item[0].count("{")):
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in methods:
                return template, methods[method.lower()]
        return None

    def _fits(self, value: Any, schema: Json) -> None:
        problems = list(self.problems(value, schema, "$"))
        assert not problems, problems

    def problems(self, value: Any, schema: Json, at: str) -> Iterator[str]:
        """What of the value does not fit."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            yield from self.problems(value, self.document["components"]["schemas"][name], at)
        elif "anyOf" in schema:
            tried = [list(self.problems(value, option, at)) for option in schema["anyOf"]]
            yield from min(tried, key=len)
        else:
            yield from self._plainly(value, schema, at)

    def _plainly(self, value: Any, schema: Json, at: str) -> Iterator[str]:
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is none of {schema['enum']}"
        if "const" in schema and value != schema["const"]:
            yield f"{at}: {value!r} is not {schema['const']}"
        wanted = schema.get("type")
        if wanted and (not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
            yield f"{at}: {value!r} is no {wanted}"
            return
        if schema.get("format") == "date-time" and not re.fullmatch(r"[0-9-]{10}T[0-9:.]{8,15}Z", value):
            yield f"{at}: {value!r} is no time in UTC"
        if isinstance(value, dict):
            yield from self._in_object(value, schema, at)
        if isinstance(value, list) and "items" in schema:
            for n, item in enumerate(value):
                yield from self.problems(item, schema["items"], f"{at}[{n}]")

    def _in_object(self, value: Json, schema: Json, at: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        yield from (f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in properties:
                yield from self.problems(item, properties[name], f"{at}.{name}")
            elif properties and schema.get("additionalProperties") is not True:
                yield f"{at}: {name} is not documented"
