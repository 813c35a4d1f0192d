"""Prometheus metrics, counted in this process only: workers send what they measured with each result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from service import __version__
from service.api._exchange import Exchange
from service.jobs import CompressResult
from service.keys import Key
from service.serving import PoolState, Result
from service.serving.catalogue import Catalogue

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_BYTES: Final = tuple(4**power * 1024 for power in range(9))  # 1 KiB to 64 MiB
_PIXELS: Final = (1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 2e7, 5e7)
_RATES: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 4, 8)


@final
class Metrics:
    """One registry, and what is counted in it. Routes are templates, so that labels are few."""

    def __init__(self, catalogue: Catalogue, pool: Callable[[], PoolState], is_draining: Callable[[], bool]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp beside every number, which nobody asks for
        self._registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        registry.register(_StateCollector(catalogue, pool, is_draining))
        self._requests = Counter(
            "vcodec_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "vcodec_http_request_duration_seconds",
            "From the head of the request to the last byte of the answer.",
            ["route", "status_class"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "vcodec_http_requests_in_progress", "Jobs being received or done.", ["route"], registry=registry
        )
        self._received = Histogram(
            "vcodec_http_request_body_bytes",
            "Sizes of request bodies.",
            ["route"],
            buckets=_BYTES,
            registry=registry,
        )
        self._sent = Histogram(
            "vcodec_http_response_body_bytes",
            "Sizes of answers to jobs.",
            ["route"],
            buckets=_BYTES,
            registry=registry,
        )
        self._rejected = Counter(
            "vcodec_rejected_requests", "Requests that ended in a problem.", ["reason"], registry=registry
        )
        self._key_requests = Counter(
            "vcodec_key_requests", "Requests answered, by API key.", ["key", "status"], registry=registry
        )
        self._key_pixels = Counter(
            "vcodec_key_pixels", "Pixels of the jobs done, by API key.", ["key"], registry=registry
        )
        self._stages = Histogram(
            "vcodec_request_stage_duration_seconds",
            "Stages of jobs, as in Server-Timing.",
            ["route", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._pixels = Histogram(
            "vcodec_input_pixels", "Pixels of images.", ["route"], buckets=_PIXELS, registry=registry
        )
        self._rate = Histogram(
            "vcodec_output_bits_per_pixel",
            "Rates of the streams that were made.",
            ["model"],
            buckets=_RATES,
            registry=registry,
        )

    def observe_request(self, route: str, exchange: Exchange, seconds: float) -> None:
        """Count an answered request."""
        method = exchange.method if exchange.method in _METHODS else "other"
        self._requests.labels(route, method, exchange.status).inc()
        self._seconds.labels(route, f"{exchange.status // 100}xx").observe(seconds)
        if exchange.key is not None:
            self._key_requests.labels(exchange.key.id, exchange.status).inc()
        if exchange.code:
            self._rejected.labels(exchange.code).inc()
        if exchange.method == "POST" and exchange.status < 300:
            self._received.labels(route).observe(exchange.received_bytes)
            self._sent.labels(route).observe(exchange.sent_bytes)

    def observe_result(self, route: str, result: Result, key: Key | None = None) -> None:
        """Count a job that was done, for that key."""
        for stage, seconds in result.stages_s.items():
            self._stages.labels(route, stage).observe(seconds)
        self._pixels.labels(route).observe(result.width * result.height)
        if key is not None:
            self._key_pixels.labels(key.id).inc(result.width * result.height)
        if isinstance(result, CompressResult):
            self._rate.labels(result.model).observe(result.rate_bpp)

    def render(self) -> bytes:
        """The Prometheus text."""
        return generate_latest(self._registry)


@final
class _StateCollector(Collector):
    """What is read when it is asked for: the pool's state, and what is served."""

    def __init__(self, catalogue: Catalogue, pool: Callable[[], PoolState], is_draining: Callable[[], bool]) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._is_draining = is_draining

    def collect(self) -> Iterator[Metric]:
        state = self._pool()
        is_draining = self._is_draining() or state.is_stopping
        for name, meaning, value in (
            ("queue_items", "Jobs that wait for a worker.", state.queued_items),
            ("queue_pixels", "Pixels of the jobs that wait.", state.queued_pixels),
            ("queue_oldest_age_seconds", "How long the first of them has waited.", state.oldest_age_s),
            ("queue_estimated_wait_seconds", "How long a new job would wait.", state.estimated_wait_s),
            ("running_items", "Jobs that workers have.", state.running_items),
            ("ready", "Whether /readyz says yes.", state.is_ready and not is_draining),
            ("draining", "Whether the service is about to stop.", is_draining),
        ):
            yield GaugeMetricFamily(f"vcodec_{name}", meaning, float(value))
        for name, meaning, total in (
            ("retries", "Jobs done again, alone, for the worker they were in had died.", state.retries),
            ("quarantined_inputs", "Inputs refused because they killed workers.", state.quarantined),
        ):
            yield CounterMetricFamily(f"vcodec_{name}", meaning, float(total))
        yield _by_label("requests_cancelled", "Jobs whose caller left.", "where", state.cancelled)
        yield _by_label("worker_restarts", "Workers that ended.", "reason", state.restarts)
        up = GaugeMetricFamily("vcodec_worker_up", "Whether a worker is warm.", labels=["worker", "device"])
        for worker in state.workers:
            up.add_metric([worker.name, worker.device], float(worker.is_ready))
        yield up
        yield from self._of_models()
        yield InfoMetricFamily("vcodec_build", "This build.", {"version": __version__})

    def _of_models(self) -> Iterator[Metric]:
        catalogue = self._catalogue
        info = InfoMetricFamily(
            "vcodec_model", "The models in the store; state is active, loading, draining or stored.", labels=["model"]
        )
        jobs = GaugeMetricFamily("vcodec_model_jobs", "Jobs that have been promised a model.", labels=["model"])
        for model in catalogue.models():
            state = catalogue.state_of(model)
            info.add_metric([model.id], {"name": model.name, "created": model.created, "state": state})
            jobs.add_metric([model.id], float(catalogue.jobs(model)))
        yield info
        yield jobs
        yield _by_label("model_swaps", "Attempts to make another model the default.", "result", catalogue.swaps)
        yield GaugeMetricFamily(
            "vcodec_model_load_duration_seconds",
            "How long the last model to become the default took to load.",
            catalogue.load_seconds,
        )


def _by_label(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"vcodec_{name}", meaning, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], float(count))
    return family
