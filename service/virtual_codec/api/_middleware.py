"""Middleware of every request: request id, HEAD, security headers, header limits, metrics and one log line."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Final, final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from virtual_codec.api import problems
from virtual_codec.api._counters import METHODS
from virtual_codec.api._exchange import Exchange, exchange_of
from virtual_codec.api._metrics import Metrics
from virtual_codec.api._request import too_large
from virtual_codec.api._trace import RESPONSE_HEADER, NoTracer, Span, TraceContext, Tracer
from virtual_codec.errors import BadInput, Draining, HeadersTooLarge, VirtualCodecError
from virtual_codec.logs import Event, bound

REQUEST_ID_HEADER: Final = "X-Request-ID"

# Set on every answer, so that no answer can run scripts. Pages set their own policy.
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}

_LOG: Final = logging.getLogger("virtual_codec.api")
_REQUEST_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:/=+@,;~|-]{1,128}")
_CLIENT_GONE_STATUS: Final = 499  # nginx's status for a closed connection; only log and metrics show it
_QUIET_PATHS: Final = ("/healthz", "/readyz", "/metrics")
_NO_TRACER: Final = NoTracer()


@final
class RequestTelemetry:
    """Outermost middleware: gives every request, even a crashed one, an id, a log line and metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = dict(scope)  # routing writes into the scope, and the server's own scope must keep the method HEAD
        _take_origin_form(scope)
        headers = Headers(scope=scope)
        exchange = Exchange(request_id=_request_id(headers), method=scope["method"])
        exchange.attach(scope)
        tracer = _NO_TRACER if scope["path"] in _QUIET_PATHS else self._tracer
        span = tracer.begin(TraceContext.of(headers), headers)
        exchange.trace_id = span.context.trace_id if span.context is not None else ""
        if exchange.method == "HEAD":
            scope["method"] = "GET"

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.answered_at = time.monotonic()
                answered = MutableHeaders(scope=message)
                answered[REQUEST_ID_HEADER] = exchange.request_id
                if span.context is not None:
                    answered[RESPONSE_HEADER] = span.context.header
                for name, value in SECURITY_HEADERS.items():
                    answered.setdefault(name, value)
                if exchange.vary:
                    answered.add_vary_header(exchange.vary)
            elif message["type"] == "http.response.body":
                if exchange.method == "HEAD":
                    message = {**message, "body": b""}
                exchange.sent_bytes += len(message.get("body", b""))
            await send(message)

        async def received() -> Message:
            message = await receive()
            exchange.received_bytes += len(message.get("body", b""))
            return message

        with bound(request_id=exchange.request_id, **_trace_fields(span)):
            try:
                await self._app(scope, received, count)
            except ClientDisconnect:
                pass
            finally:
                exchange.resources.close()
                self._finish(scope, exchange, span)

    def _finish(self, scope: Scope, exchange: Exchange, span: Span) -> None:
        exchange.status = exchange.status or _CLIENT_GONE_STATUS
        route = getattr(scope.get("route"), "path", "unmatched")
        now = time.monotonic()
        seconds = now - exchange.started_at
        exchange.stages_s["send"] = now - exchange.answered_at
        self._metrics.observe_request(route, exchange, seconds)
        span.end(exchange, route)
        _LOG.log(
            _level(route, exchange.status),
            Event(
                "request",
                request_id=exchange.request_id,
                **_trace_fields(span),
                method=exchange.method if exchange.method in METHODS else "other",
                route=route,
                status=exchange.status,
                **({"code": exchange.code} if exchange.code else {}),
                ms=round(1000 * seconds, 1),
                received_bytes=exchange.received_bytes,
                sent_bytes=exchange.sent_bytes,
                **exchange.facts,
                **_milliseconds(exchange),
            ),
        )


@final
class UnexpectedErrors:
    """Middleware that answers an unexpected exception with the problem `internal` and logs the traceback.

    A request that the server cancels at shutdown, after the grace period, is answered with the problem `draining`.
    """

    def __init__(self, app: ASGIApp, is_draining: Callable[[], bool]) -> None:
        self._app = app
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise
        except asyncio.CancelledError:  # the server would answer with plain text
            if scope["type"] != "http" or not self._is_draining() or exchange_of(scope).status:
                raise
            error = Draining("the service stopped before the work was done", retry_after_s=5.0)
            await problems.answer(scope, error)(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise
            exchange = exchange_of(scope)
            _LOG.exception(Event("crash"))
            if exchange.status:
                raise  # too late for a problem: let the server cut the connection
            await problems.answer(scope, VirtualCodecError())(scope, receive, send)


@final
class HeaderLimits:
    """Middleware that refuses requests with too large headers, or with both Content-Length and Transfer-Encoding.

    Starlette's own limit, an inner middleware, counts bodies of unknown length; for declared lengths it would answer
    in plain text. The HTTP parser limits only headers that arrive in pieces.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_header_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and (error := self._fault(scope)) is not None:
            await problems.answer(scope, error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> VirtualCodecError | None:
        head_bytes = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        head_bytes += len(scope["method"]) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if head_bytes > self._max_header_bytes:
            return HeadersTooLarge(
                f"the head has {head_bytes} bytes; at most {self._max_header_bytes} are read",
                limit=self._max_header_bytes,
                actual=head_bytes,
            )
        headers = Headers(scope=scope)
        text = headers.get("content-length", "")
        if text and "transfer-encoding" in headers:  # request smuggling past a proxy
            return BadInput("send Content-Length or Transfer-Encoding, not both")
        if text.isascii() and text.isdigit() and int(text[:20]) > self._max_body_bytes:
            return too_large(self._max_body_bytes, int(text[:20]))
        return None


def _level(route: str, status: int) -> int:
    if route in _QUIET_PATHS and status in (200, 503):
        return logging.DEBUG
    if status == 500:
        return logging.ERROR
    return logging.WARNING if status > 500 else logging.INFO


def _milliseconds(exchange: Exchange) -> dict[str, object]:
    """Log fields with the duration of each stage of a job, of receiving and of sending, in ms."""
    if not exchange.job_stages_s:
        return {}
    stages_s = {**exchange.job_stages_s, **exchange.stages_s}
    return {f"{stage}_ms": round(1000 * spent, 1) for stage, spent in stages_s.items()}


def _take_origin_form(scope: Scope) -> None:
    """Reduce a request target in absolute form, as for a proxy, to its path (RFC 9112, section 3.2.2)."""
    path: str = scope["path"]
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        scope["path"] = "/" + rest.partition("/")[2]
        scope["raw_path"] = quote(scope["path"]).encode()


def _trace_fields(span: Span) -> dict[str, object]:
    return {"trace_id": span.context.trace_id, "span_id": span.context.span_id} if span.context is not None else {}


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID_PATTERN.fullmatch(given) else str(uuid.uuid4())
