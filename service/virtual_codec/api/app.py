"""Composition root: builds the application from settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from virtual_codec import __version__
from virtual_codec.api import _openapi, problems
from virtual_codec.api._admin import admin_app
from virtual_codec.api._budget import ByteBudget
from virtual_codec.api._cors import Cors
from virtual_codec.api._jobs import Jobs, largest_answer_bytes
from virtual_codec.api._keys import key_check
from virtual_codec.api._metrics import Metrics
from virtual_codec.api._middleware import HeaderLimits, RequestTelemetry, UnexpectedErrors
from virtual_codec.api._multipart import FormLimits
from virtual_codec.api._pages import Drain, Pages
from virtual_codec.api._quota import Quotas
from virtual_codec.api._request import BodyPolicy, BodyReader
from virtual_codec.api._trace import NoTracer, Tracer
from virtual_codec.api._web import WebFiles
from virtual_codec.cores import usable_cores
from virtual_codec.errors import BadInput, BadOption, MethodNotAllowed, NotFound, VirtualCodecError
from virtual_codec.images import ImageLimits, configure_pillow
from virtual_codec.keys import KeyRing
from virtual_codec.logs import Event
from virtual_codec.serving import DEVICE_PROCESS, Pool, PoolPolicy, ReplicaPolicy, open_pool
from virtual_codec.serving.catalogue import Catalogue
from virtual_codec.settings import Settings
from virtual_codec.store import ModelStore
from virtual_codec.web import WebSite

__all__ = ["Drain", "Service", "create_app", "create_service"]

_LOG: Final = logging.getLogger("virtual_codec.api")
# FastAPI's own spans and logs contain callers' text: paths, queries, exception messages. `_otel` records none.
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
_DOCS_PROBLEMS: Final = ("no_worker", "draining")


@dataclass(frozen=True, kw_only=True)
class Service:
    """Service: the callers' application, the administration application and the catalogue that both use."""

    app: FastAPI
    admin: ASGIApp
    catalogue: Catalogue


def create_app(settings: Settings, pool: Pool | None = None, *, drain: Drain | None = None) -> FastAPI:
    """Create the callers' application; see `create_service`."""
    return create_service(settings, pool, drain=drain).app


def create_service(
    settings: Settings, pool: Pool | None = None, *, drain: Drain | None = None, tracer: Tracer | None = None
) -> Service:
    """Create both applications. The callers' application starts and stops the pool, by default that of the settings.

    Raises `BadModel` when the model store is damaged, `OSError` and `ValueError` when the file of API keys is.
    """
    configure_pillow()
    limits = settings.image_limits
    store = ModelStore(settings.model_store, tolerant=True)
    pool = pool or _open_pool(settings, limits, store)
    catalogue = Catalogue(store, pool)
    drain = drain or Drain()
    budget = ByteBudget.at_least(
        settings.max_pending_bytes, settings.max_body_bytes + largest_answer_bytes(settings.max_pixels)
    )
    metrics = Metrics(catalogue, pool.state, lambda: drain.has_begun, settings.queue_limit_s, budget)
    keys = KeyRing(settings.keys, settings.api_keys_file) if settings.requires_keys else None
    quotas = open_quotas(settings) if keys is not None else None
    jobs = Jobs(
        pool, BodyReader(_body_policy(settings)), budget, metrics, limits, settings.max_effort, catalogue, quotas
    )
    tracer = tracer or open_tracer(settings.tracing)
    app = _application(pool, catalogue, tracer)
    _add_routes(app, jobs, Pages(pool, catalogue, metrics, drain, settings.max_effort), keys, settings)
    _add_web_routes(app, WebFiles(catalogue, WebSite()))
    _add_problems(app)
    # The middleware added last is called first.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    app.add_middleware(HeaderLimits, max_body_bytes=settings.max_body_bytes, max_header_bytes=settings.max_header_bytes)
    app.add_middleware(UnexpectedErrors, is_draining=lambda: drain.has_begun)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(RequestTelemetry, metrics=metrics, tracer=tracer)
    admin = admin_app(catalogue)
    _add_problems(admin)
    guarded = UnexpectedErrors(admin, lambda: drain.has_begun)
    return Service(app=app, admin=RequestTelemetry(guarded, metrics, tracer), catalogue=catalogue)


def open_tracer(kind: str) -> Tracer:
    """Open the tracer of that kind. Without OpenTelemetry it records nothing, and a warning is logged."""
    if kind == "off":
        return NoTracer()
    try:
        from virtual_codec.api._otel import OtelTracer, otlp_provider
    except ImportError as error:
        _LOG.warning(Event("no_tracing", reason=error, advice="pip install 'virtual-codec[otel]'"))
        return NoTracer()
    return OtelTracer(otlp_provider())


def open_quotas(settings: Settings) -> Quotas:
    """Quotas of the settings. Raises `ValueError` if their storage cannot be used."""
    storage = settings.quota_storage
    return Quotas(
        requests=settings.key_requests,
        megapixels=settings.key_megapixels,
        storage=None if storage is None else storage.get_secret_value(),
    )


def _application(pool: Pool, catalogue: Catalogue, tracer: Tracer) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        catalogue.warn_of_damage()
        await pool.start()
        try:
            yield
        finally:
            await pool.stop()
            await asyncio.to_thread(tracer.close)

    return FastAPI(
        title="virtual-codec",
        version=__version__,
        description=_openapi.DESCRIPTION,
        servers=[{"url": "/"}],
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads from a CDN, which some users cannot reach
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )


def _add_routes(app: FastAPI, jobs: Jobs, pages: Pages, keys: KeyRing | None, settings: Settings) -> None:
    def get(path: str, endpoint: Any, **more: Any) -> None:
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, response_model=None, **more)

    times = {"timeout_s": settings.timeout_s, "max_timeout_s": settings.max_timeout_s}
    locked = [Depends(key_check(keys))] if keys is not None else []
    for path, endpoint, docs in (
        ("/compress", jobs.compress, _openapi.compress_docs(max_effort=settings.max_effort, **times)),
        ("/decompress", jobs.decompress, _openapi.decompress_docs(**times)),
        ("/playground/ordinary", jobs.ordinary, _openapi.ordinary_docs(**times)),
    ):
        app.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            response_class=Response,
            response_model=None,
            dependencies=locked,
            **docs,
        )
    key_needed = _openapi.problem_docs(["unauthorized"])
    get("/models", pages.models, tags=["models"], dependencies=locked, responses=key_needed)
    by_model = _openapi.path_docs({"model": "A model's name or id."}, ["unauthorized", "model_not_found"])
    get("/models/{model}", pages.model, tags=["models"], dependencies=locked, **by_model)
    get("/healthz", pages.healthz, tags=["operations"])
    get("/readyz", pages.readyz, tags=["operations"], responses=_openapi.problem_docs(_DOCS_PROBLEMS))
    get("/metrics", pages.metrics, tags=["operations"])
    get("/problems", pages.problems, tags=["problems"])
    by_code = _openapi.path_docs({"code": "The `code` of a problem."}, ["not_found"])
    get("/problems/{code}", pages.problem, tags=["problems"], **by_code)
    get("/", pages.playground, include_in_schema=False)
    get("/playground/sample", pages.sample, include_in_schema=False)
    get("/docs", pages.docs, include_in_schema=False)


def _add_web_routes(app: FastAPI, files: WebFiles) -> None:
    meanings = {"version": "Version that /web/restore.js names.", "name": "A file's name, see /models/{model}/web."}
    by_name = _openapi.path_docs(meanings, ["not_found"])
    by_model = _openapi.path_docs({"model": "A model's name or id."}, ["model_not_found", "not_found"])
    script = {"responses": {304: {"description": "The caller has it already."}}}
    for path, endpoint, docs in (
        ("/web/restore.js", files.script, _openapi.file_docs("text/javascript", script)),
        ("/web/{version}/{name}", files.file, _openapi.file_docs("application/octet-stream", by_name)),
        ("/models/{model}/web", files.model, {**by_model, "tags": ["web"]}),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, response_model=None, **docs)


def _add_problems(app: Starlette) -> None:
    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, VirtualCodecError)
        return problems.answer(request.scope, error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = problems.answer(request.scope, _translated(error, request))
        if "Allow" in (error.headers or {}):
            response.headers["Allow"] = _allowed(error)
        return response

    async def validation_error(request: Request, error: Exception) -> Response:
        return problems.answer(request.scope, BadOption(str(error)[:200]))

    app.add_exception_handler(VirtualCodecError, problem)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)


def _translated(error: HTTPException, request: Request) -> VirtualCodecError:
    match error.status_code:
        case 404:
            return NotFound(f"there is nothing at {request.scope['path'][:200]!r}; see /docs")
        case 405:
            return MethodNotAllowed(f"this path takes {_allowed(error)}")
        case _:
            return BadInput(error.detail)


def _allowed(error: HTTPException) -> str:
    methods = {method.strip() for method in (error.headers or {}).get("Allow", "").split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _body_policy(settings: Settings) -> BodyPolicy:
    return BodyPolicy(
        max_bytes=settings.max_body_bytes,
        timeout_s=settings.body_timeout_s,
        default_deadline_s=settings.timeout_s,
        max_deadline_s=settings.max_timeout_s,
        form=FormLimits(max_fields=settings.max_fields, max_field_bytes=settings.max_field_bytes),
    )


def _open_pool(settings: Settings, limits: ImageLimits, store: ModelStore) -> Pool:
    return open_pool(settings.pool, worker_arguments(settings, limits, store), pool_policy(settings))


def worker_arguments(settings: Settings, limits: ImageLimits, store: ModelStore) -> dict[str, object]:
    """Arguments that a worker opens its codec with."""
    arguments: dict[str, object] = {
        "store": settings.model_store,
        "limits": limits,
        "max_effort": settings.max_effort,
    }
    if store.models():  # CURRENT may change before a worker opens, but only `Catalogue` may change the default
        arguments["model"] = store.default.id
    return arguments


def pool_policy(settings: Settings) -> PoolPolicy:
    """Limits of the pool."""
    return PoolPolicy(
        devices=settings.devices,
        workers_per_device=settings.workers_per_device,
        threads=settings.threads,
        cores=usable_cores(),
        device_factory=DEVICE_PROCESS,
        standby=settings.standby,
        queue_limit_s=settings.queue_limit_s,
        job_timeout_s=settings.max_timeout_s,
        hang_grace_s=settings.hang_grace_s,
        stop_grace_s=settings.shutdown_grace_s,
        replicas=ReplicaPolicy(
            address=settings.ray_address,
            least=settings.ray_replicas,
            most=settings.ray_max_replicas,
            cpus=settings.ray_cpus,
            gpus=settings.ray_gpus,
            target_wait_s=settings.ray_target_wait_s,
        ),
    )
