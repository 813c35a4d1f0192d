"""Traces are taken over from whoever calls, and recorded where OpenTelemetry is there."""

from __future__ import annotations

import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers

from tests.api.pretend import PretendPool, picture
from virtual_codec.api._otel import OtelTracer
from virtual_codec.api._trace import TraceContext
from virtual_codec.api.app import create_service
from virtual_codec.errors import Overloaded
from virtual_codec.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"


def parsed(*values: str) -> TraceContext | None:
    return TraceContext.of(Headers(raw=[(b"traceparent", value.encode()) for value in values]))


def test_a_traceparent_is_read_as_the_standard_says() -> None:
    context = parsed(GIVEN)
    assert context == TraceContext(trace_id=TRACE, span_id=PARENT, is_sampled=True)
    assert context.header == GIVEN
    unsampled = parsed(f"00-{TRACE}-{PARENT}-02")
    assert unsampled is not None
    assert not unsampled.is_sampled


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parsed(f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like") == parsed(GIVEN)
    assert parsed(f"cc-{TRACE}-{PARENT}-01") == parsed(GIVEN)


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0x",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE}-{PARENT}-01\nforged",
    ],
)
def test_a_malformed_traceparent_is_ignored(value: str) -> None:
    assert parsed(value) is None


def test_two_traceparent_headers_are_ignored() -> None:
    assert parsed(GIVEN, GIVEN) is None


async def test_a_trace_goes_through_log_job_and_answer(
    client: httpx2.AsyncClient, pool: PretendPool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "virtual_codec.api"):
        response = await client.post("/compress", content=picture(), headers={"traceparent": GIVEN})
    ours = parsed(response.headers["traceresponse"])
    assert ours is not None
    assert ours.trace_id == TRACE
    assert ours.span_id != PARENT
    assert not ours.is_sampled, "nothing records it here"
    assert f"trace_id={TRACE} span_id={ours.span_id}" in caplog.text
    assert pool.jobs[0][0].trace_id == TRACE


async def test_a_request_without_a_trace_gets_none(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "virtual_codec.api"):
        response = await client.post("/compress", content=picture(), headers={"traceparent": "nonsense"})
    assert "traceresponse" not in response.headers
    assert "trace_id" not in caplog.text


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


@pytest.fixture
async def traced(
    spans: InMemorySpanExporter, pool: PretendPool, model_store: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    app = create_service(Settings.load(model_store=model_store), pool, tracer=OtelTracer(provider)).app
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app)
        yield await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://test"))


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


async def test_a_request_is_a_span_with_a_child_for_each_stage(
    traced: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": GIVEN, "tracestate": "vendor=1", "X-Request-ID": "seven"}
    response = await traced.post("/compress", content=picture(), headers=headers)
    found = named(spans)
    assert set(found) == {"POST /compress", "receive", "queue", "decode", "device", "encode", "send"}
    root = found.pop("POST /compress")
    assert root.kind is SpanKind.SERVER
    assert root.context is not None
    assert root.parent is not None
    assert (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}") == (TRACE, PARENT)
    assert root.context.trace_state.get("vendor") == "1"
    assert response.headers["traceresponse"] == f"00-{TRACE}-{root.context.span_id:016x}-01"
    attributes = root.attributes or {}
    assert attributes["http.response.status_code"] == 200
    assert attributes["http.route"] == "/compress"
    assert attributes["vcodec.request_id"] == "seven"
    assert attributes["vcodec.model"] == "0badf00d"
    durations_ms = {}
    for name, child in found.items():
        assert child.parent is not None
        assert child.parent.span_id == root.context.span_id
        assert child.start_time is not None
        assert child.end_time is not None
        durations_ms[name] = round((child.end_time - child.start_time) / 1e6, 1)
    assert durations_ms.items() >= {"decode": 10.1, "queue": 0.2, "device": 200.0, "encode": 30.0}.items()
    starts = [found[stage].start_time for stage in ("queue", "decode", "device", "encode")]
    assert starts == sorted(starts, key=lambda start: start or 0)


async def test_a_failure_of_ours_is_an_error_in_the_trace_and_a_callers_is_not(
    traced: httpx2.AsyncClient, spans: InMemorySpanExporter, pool: PretendPool
) -> None:
    await traced.post("/compress", content=b"no image")
    pool.refusal = Overloaded("full", retry_after_s=1)
    await traced.post("/compress", content=picture())
    first, second = spans.get_finished_spans()
    assert (first.attributes or {})["error.type"] == "unsupported_format"
    assert first.status.status_code is StatusCode.UNSET
    assert (second.attributes or {})["error.type"] == "overloaded"
    assert second.status.status_code is StatusCode.ERROR


async def test_health_checks_are_no_traces(traced: httpx2.AsyncClient, spans: InMemorySpanExporter) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await traced.get(path)).status_code == 200
    assert not spans.get_finished_spans()
    await traced.get("/models")
    [span] = spans.get_finished_spans()
    assert re.fullmatch("GET /models", span.name)


def test_without_opentelemetry_there_is_a_log_line_and_no_failure() -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("opentelemetry.sdk", "opentelemetry.exporter"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from virtual_codec.api.app import open_tracer
from virtual_codec.logs import configure
configure("info", "text")
print(type(open_tracer("otlp")).__name__, type(open_tracer("off")).__name__)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["NoTracer", "NoTracer"]
    [line] = run.stderr.splitlines()
    assert "warning virtual_codec.api event=no_tracing reason=\"No module named 'opentelemetry." in line
    assert "virtual-codec[otel]" in line


def test_tracing_that_is_off_does_not_load_it() -> None:
    code = "from virtual_codec.api import create_app; from virtual_codec.settings import Settings; "
    code += "create_app(Settings.load()); "
    code += "import sys; print('opentelemetry.sdk' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
