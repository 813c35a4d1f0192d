"""OpenTelemetry spans (extra `otel`): one for each request, with a child for each stage.

The exporter is configured by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and so on.
"""

from __future__ import annotations

import time
from typing import Final, final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Tracer as OtelsTracer
from starlette.datastructures import Headers

from virtual_codec import __version__
from virtual_codec.api._exchange import Exchange
from virtual_codec.api._trace import Span, TraceContext

# In the order in which a job first enters them.
_STAGES: Final = ("queue", "decode", "device", "encode")
_NS: Final = 1_000_000_000


def otlp_provider() -> TracerProvider:
    """Tracer provider that exports spans to a collector by OTLP over HTTP."""
    named = {"service.name": "virtual-codec", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create({**named, **OTELResourceDetector().detect().attributes}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@final
class OtelTracer:
    """Tracer that records spans with OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("virtual_codec.api", __version__)

    def begin(self, parent: TraceContext | None, headers: Headers) -> Span:
        """Begin a request's span, in its caller's trace or a new one."""
        context = None
        if parent is not None:
            state = TraceState.from_header(headers.getlist("tracestate"))
            flags = TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT)
            remote = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags, state)
            context = set_span_in_context(NonRecordingSpan(remote))
        return _Recorded(self._tracer, self._tracer.start_span("request", context, SpanKind.SERVER))

    def close(self) -> None:
        """Export the recorded spans and shut down."""
        self._provider.shutdown()


@final
class _Recorded:
    def __init__(self, tracer: OtelsTracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span
        self._began_ns = time.time_ns()
        own = span.get_span_context()
        self.context: TraceContext | None = TraceContext(
            trace_id=f"{own.trace_id:032x}", span_id=f"{own.span_id:016x}", is_sampled=own.trace_flags.sampled
        )

    def end(self, exchange: Exchange, route: str) -> None:
        span = self._span
        span.update_name(f"{exchange.method} {route}")
        span.set_attributes(
            {
                "http.request.method": exchange.method,
                "http.route": route,
                "http.response.status_code": exchange.status,
                "http.request.body.size": exchange.received_bytes,
                "http.response.body.size": exchange.sent_bytes,
                "vcodec.request_id": exchange.request_id,
                **{f"vcodec.{name}": _plain(value) for name, value in exchange.facts.items()},
            }
        )
        if exchange.code:
            span.set_attribute("error.type", exchange.code)
        if exchange.status >= 500:
            span.set_status(StatusCode.ERROR, exchange.code)
        self._add_stages(exchange)
        span.end()

    def _add_stages(self, exchange: Exchange) -> None:
        """Add a child span for each stage, in sequence: stages of a job alternate, and only their sums are known."""
        start_s = exchange.submitted_at
        for stage in _STAGES:
            if stage in exchange.job_stages_s:
                start_s = self._add_stage(exchange, stage, start_s, exchange.job_stages_s[stage])
        for stage, start_s in (("receive", exchange.started_at), ("send", exchange.answered_at)):
            if stage in exchange.stages_s and exchange.job_stages_s:
                self._add_stage(exchange, stage, start_s, exchange.stages_s[stage])

    def _add_stage(self, exchange: Exchange, stage: str, start_s: float, took_s: float) -> float:
        """Add a child span that begins at `start_s` on the exchange's clock; returns its end."""
        start_ns = self._began_ns + int((start_s - exchange.started_at) * _NS)
        child = self._tracer.start_span(stage, set_span_in_context(self._span), SpanKind.INTERNAL, start_time=start_ns)
        child.end(start_ns + int(took_s * _NS))
        return start_s + took_s


def _plain(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)
