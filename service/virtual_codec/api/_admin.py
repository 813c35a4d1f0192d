"""Administration endpoints, on a separate port of the loopback interface."""

from __future__ import annotations

import time
from typing import Final, final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from virtual_codec.api._pages import describe_model
from virtual_codec.errors import BadInput
from virtual_codec.serving.catalogue import Catalogue
from virtual_codec.store import Manifest

HOST: Final = "127.0.0.1"

_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost"})


def admin_app(catalogue: Catalogue) -> Starlette:
    """Application with the routes under /admin."""
    admin = _Admin(catalogue)
    return Starlette(
        routes=[
            _NamedRoute("/admin/models", admin.models, methods=["GET"]),
            _NamedRoute("/admin/models/reload", admin.reload, methods=["POST"]),
            _NamedRoute("/admin/models/{name}/activate", admin.activate, methods=["POST"]),
        ]
    )


@final
class ByPort:
    """ASGI application that dispatches by the port of the connection, which no header can forge."""

    def __init__(self, app: ASGIApp, admin: ASGIApp, admin_port: int) -> None:
        self._app = app
        self._admin = admin
        self._admin_port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        is_admin = scope["type"] == "http" and scope["server"][1] == self._admin_port
        await (self._admin if is_admin else self._app)(scope, receive, send)


@final
class _NamedRoute(Route):
    """Route that stores itself in the scope, as FastAPI's routes do, so that the log and the metrics can name it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, child_scope if match is Match.NONE else {**child_scope, "route": self}


@final
class _Admin:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def models(self, request: Request) -> Response:
        _refuse_browsers(request)
        return JSONResponse([describe_model(self._catalogue, model) for model in self._catalogue.models()])

    async def activate(self, request: Request) -> Response:
        _refuse_browsers(request)
        started = time.monotonic()
        return self._answer(await self._catalogue.activate(request.path_params["name"]), started)

    async def reload(self, request: Request) -> Response:
        _refuse_browsers(request)
        started = time.monotonic()
        return self._answer(await self._catalogue.reload(), started)

    def _answer(self, model: Manifest, started: float) -> Response:
        return JSONResponse(
            {**describe_model(self._catalogue, model), "seconds": round(time.monotonic() - started, 3)},
            headers={"Cache-Control": "no-store"},
        )


def _refuse_browsers(request: Request) -> None:
    """Raise `BadInput` for a request from a web page. A browser on this machine can reach this port (DNS rebinding)."""
    if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
        raise BadInput("this port refuses requests from web pages; use curl or `vcodec models --activate`")
    if request.headers.get("host", "").partition(":")[0].lower() not in _LOCAL_NAMES:
        raise BadInput(f"the Host header must be {HOST} or localhost")
