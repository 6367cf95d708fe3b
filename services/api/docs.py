"""The contract: `/openapi.json`, and `/docs`, a plain page made of it: no script, nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.api import schemas

_ABOUT = """The HTTP interface of floe. JSON in and out, times as RFC 3339 in UTC, ids as strings.

Send `Authorization: Bearer TOKEN` with every request but the probes and this contract. Errors are
`application/problem+json` (RFC 9457). Lists are `{items, next}`: pass `next` as `cursor` to read on."""
_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
section { border-top: 1px solid #8886; margin-top: 1.5rem; padding-top: .5rem }
code, pre { font: .875rem/1.5 ui-monospace, monospace } pre { overflow-x: auto; background: #8881; padding: .75rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top }
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an app."""
    document = get_openapi(title="floe", version=app.version, description=_ABOUT, routes=app.routes)
    components = document.setdefault("components", {})
    models = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        models.pop(unused, None)
    _add_problem(models)
    _restore_examples(models)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for _, path, operation in _operations(document):
        if path.startswith("/health"):
            operation["security"] = []
    return document


def _add_problem(models: dict[str, Any]) -> None:
    model = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    models.update(model.pop("$defs", {}))
    models["Problem"] = model


def _restore_examples(models: dict[str, Any]) -> None:
    """The generator drops every null, also those that an example shows."""
    for name, model in models.items():
        kind = getattr(schemas, name, None)
        shown = kind.model_config.get("json_schema_extra", {}).get("examples") if kind is not None else None
        if shown:
            model["examples"] = shown


def add_contract(app: FastAPI, prefixes: tuple[str, ...]) -> frozenset[str]:
    """Serve the document and the page below each prefix; returns their paths, which need no token."""
    made: dict[str, bytes] = {}

    async def openapi(_: Request) -> Response:
        if "json" not in made:
            made["json"] = msgspec.json.encode(describe(app))
        return Response(made["json"], media_type="application/json")

    async def docs(_: Request) -> Response:
        if "html" not in made:
            made["html"] = page(describe(app)).encode()
        return HTMLResponse(
            made["html"], headers={"Content-Security-Policy": _CSP, "X-Content-Type-Options": "nosniff"}
        )

    for prefix in prefixes:
        app.add_route(f"{prefix}/openapi.json", openapi, include_in_schema=False)
        app.add_route(f"{prefix}/docs", docs, include_in_schema=False)
    return frozenset(f"{prefix}{path}" for prefix in prefixes for path in ("/openapi.json", "/docs"))


def page(document: Mapping[str, Any]) -> str:
    """The document as a page for people."""
    sections = "".join(_section(method, path, operation) for method, path, operation in _operations(document))
    about = "".join(f"<p>{escape(text)}</p>" for text in str(document["info"]["description"]).split("\n\n"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>floe: HTTP interface</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>floe: HTTP interface</h1>{about}"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>{sections}</body></html>'
    )


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<h2><code>{method} {escape(path)}</code></h2>", f"<p>{escape(operation.get('description', ''))}</p>"]
    parameters = operation.get("parameters", [])
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
            f"<td>{escape(p.get('description', ''))}</td></tr>"
            for p in parameters
        )
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th></th></tr>{rows}</table>")
    parts.extend(_body(operation))
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(found['description'])}</td></tr>"
        for status, found in sorted(operation["responses"].items())
    )
    parts.append(f"<table><tr><th>answer</th><th></th></tr>{answers}</table>")
    return f"<section>{''.join(parts)}</section>"


def _body(operation: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{escape(kind)}</code></p>"
        shown = content.get("example")
        if shown is not None:
            text = shown if isinstance(shown, str) else msgspec.json.format(msgspec.json.encode(shown)).decode()
            yield f"<pre>{escape(text)}</pre>"
