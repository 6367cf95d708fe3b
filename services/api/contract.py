"""How the endpoints describe themselves: documented errors, common parameters, JSON that is read strictly."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import Path
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.api import schemas
from services.api.problems import MEDIA_TYPE

FlowId = Annotated[str, Path(max_length=64, description="A flow's id", examples=["build"])]
RunRefPath = Annotated[str, Path(max_length=100, description="A run's ref", examples=["h1-42"])]
NodeId = Annotated[str, Path(max_length=64, description="A node's id", examples=["test"])]
HostName = Annotated[str, Path(max_length=64, description="A host's name", examples=["h1"])]

NAME = r"^[^\x00-\x1f]*$"
"""What may be looked for by name: databases refuse some of the rest."""

_MEANINGS = {
    400: "The request cannot be understood",
    401: "No token, or one that is not known",
    404: "It does not exist",
    409: "Its state does not allow this now",
    413: "The body is too long",
    415: "The body has a form that is not read here",
    422: "The input does not fit; `errors` says where",
    429: "Too many wrong tokens came from this address",
    500: "A fault of ours; `id` stands in the log too",
    503: "The store or the broker is away; try again soon",
}
_SHOWN = {
    400: ("Bad Request", "name a flow, or say broadcast: true to reach every flow with a data trigger"),
    401: ("Unauthorized", "Say who you are: Authorization: Bearer TOKEN."),
    404: ("Not Found", "there is no run h1-43"),
    409: ("Conflict", "run h1-42 has ended already (good)"),
    413: ("Content Too Large", "The body is longer than 26214400 bytes, the most that is taken."),
    415: ("Unsupported Media Type", "Send the body as JSON, with Content-Type: application/json."),
    422: ("Unprocessable Content", "limit: Input should be less than or equal to 500"),
    429: ("Too Many Requests", "Too many wrong tokens came from 192.0.2.7; wait 3 s."),
    500: ("Internal Server Error", "Something failed here that the log knows as 9f86d081884c7d65."),
    503: ("Service Unavailable", "neither the broker nor the store takes it now: try again soon"),
}
Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """The problems that an endpoint may answer with, beside those that every endpoint may."""
    return {status: _documented(status) for status in sorted({*statuses, 401, 422, 429, 500, 503})}


def open_errors() -> Responses:
    """Those of an endpoint that wants no token."""
    return {status: _documented(status) for status in (500, 503)}


def _documented(status: int) -> dict[str, Any]:
    title, detail = _SHOWN[status]
    shown: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if status >= 500:
        shown["id"] = "9f86d081884c7d65"
    if status == 422:
        shown["errors"] = [{"loc": "limit", "msg": "Input should be less than or equal to 500"}]
    schema = {"$ref": f"#/components/schemas/{schemas.Problem.__name__}"}
    return {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema, "example": shown}}}


class StrictJsonRoute(APIRoute):
    """Reads bodies as JSON of RFC 8259: no NaN, no lone surrogates, no nesting without end."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, given a request that reads JSON so."""
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await usual(_StrictJson(request.scope, request.receive))

        return handle


class _StrictJson(Request):
    async def json(self) -> Any:
        try:
            return msgspec.json.decode(await self.body())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), "", 0) from error  # what the framework knows how to answer
