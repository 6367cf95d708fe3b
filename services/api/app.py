"""The ASGI application: its parts put together."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.api import agents, docs, flows, health, logs, pends, runs, starts, stream
from services.api.auth import Authenticator
from services.api.config import ApiConfig
from services.api.desk import Desk
from services.api.guards import AccessLog, BodyLimit, FailureGuard, TokenGuard
from services.api.problems import on_floe_error, on_http_error, on_invalid_request
from shared.bus.port import Bus
from shared.errors import FloeError
from shared.store.port import ApiStore

_PROBES = ("/health/live", "/health/ready")


def create_app(config: ApiConfig, store: ApiStore, bus: Bus) -> FastAPI:
    """The application. Whoever serves it starts and stops `app.state.desk`, between the store's and the bus's lives."""
    desk = Desk(config, store, bus)
    app = FastAPI(
        title="floe",
        version=config.version or "0",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    _add_routes(app, config)
    app.add_exception_handler(FloeError, on_floe_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    open_paths = {*_PROBES, *docs.add_contract(app, ("", config.base_url))}
    app.add_middleware(TokenGuard, authenticator=Authenticator(config.admin_token), open_paths=open_paths)
    app.add_middleware(BodyLimit, most_bytes=config.body_limit_bytes)
    if config.access_log:
        app.add_middleware(AccessLog)
    app.add_middleware(FailureGuard)
    return app


def _add_routes(app: FastAPI, config: ApiConfig) -> None:
    app.include_router(health.probes)
    for module in (starts, runs, logs, stream, flows, pends, agents, health):
        app.include_router(module.router, prefix=config.base_url)
