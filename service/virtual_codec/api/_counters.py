"""Prometheus counters and histograms of requests and of jobs. Routes are templates, so that labels are few."""

from __future__ import annotations

import itertools
from typing import Final, final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from virtual_codec.api._exchange import Exchange
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.jobs import CompressResult
from virtual_codec.keys import Key
from virtual_codec.serving import Result

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_JOB_ROUTES: Final = ("/compress", "/decompress", "/playground/ordinary")
_WORK_STAGES: Final = ("decode", "device", "encode")  # stages of a job, without the queue
_SECONDS_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_BYTES_BUCKETS: Final = tuple(4**power * 1024 for power in range(9))  # 1 KiB to 64 MiB
_PIXELS_BUCKETS: Final = (1e4, 1e5, 3e5, 1e6, 3e6, 1e7, 2e7, 5e7)
_RATE_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 4, 8)
_RATIO_BUCKETS: Final = (0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 100)


@final
class RequestCounters:
    """Counters of requests of all routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "vcodec_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "vcodec_http_request_duration_seconds",
            "Seconds from the headers of the request to the last byte of the answer.",
            ["route", "status_class"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "vcodec_http_requests_in_progress",
            "Jobs that are being received or processed.",
            ["route"],
            registry=registry,
        )
        self._received = Histogram(
            "vcodec_http_request_body_bytes",
            "Sizes of request bodies.",
            ["route"],
            buckets=_BYTES_BUCKETS,
            registry=registry,
        )
        self._sent = Histogram(
            "vcodec_http_response_body_bytes",
            "Sizes of answers to jobs.",
            ["route"],
            buckets=_BYTES_BUCKETS,
            registry=registry,
        )
        self._rejected = Counter(
            "vcodec_rejected_requests",
            "Requests that ended in a problem, by its code.",
            ["route", "reason"],
            registry=registry,
        )
        self._key_requests = Counter(
            "vcodec_key_requests", "Requests answered, by API key.", ["key", "status"], registry=registry
        )
        for route in _JOB_ROUTES:
            self.in_progress.labels(route)
        for route, code in itertools.product(_JOB_ROUTES, PROBLEMS):
            self._rejected.labels(route, code)  # a counter that starts at 0 shows its first event as an increase

    def observe(self, route: str, exchange: Exchange, seconds: float) -> None:
        """Count an answered request."""
        method = exchange.method if exchange.method in METHODS else "other"
        self._requests.labels(route, method, exchange.status).inc()
        self._seconds.labels(route, f"{exchange.status // 100}xx").observe(seconds)
        if exchange.key is not None:
            self._key_requests.labels(exchange.key.id, exchange.status).inc()
        if exchange.code:
            self._rejected.labels(route, exchange.code).inc()
        if exchange.is_done_post:
            self._received.labels(route).observe(exchange.received_bytes)
            self._sent.labels(route).observe(exchange.sent_bytes)


@final
class JobCounters:
    """Counters of finished jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._key_pixels = Counter(
            "vcodec_key_pixels", "Pixels of finished jobs, by API key.", ["key"], registry=registry
        )
        self._stages = Histogram(
            "vcodec_request_stage_duration_seconds",
            "Seconds of each stage of finished jobs: receive, queue, decode, device, encode, send.",
            ["route", "stage"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self._pixels = Histogram(
            "vcodec_input_pixels", "Pixels of images.", ["route"], buckets=_PIXELS_BUCKETS, registry=registry
        )
        self._rate = Histogram(
            "vcodec_output_bpp",
            "Rates of the streams that were made, in bits per pixel of the image.",
            ["model"],
            buckets=_RATE_BUCKETS,
            registry=registry,
        )
        self._ratio = Histogram(
            "vcodec_compression_ratio",
            "Bytes of the input file divided by bytes of its stream.",
            ["model"],
            buckets=_RATIO_BUCKETS,
            registry=registry,
        )
        self._images = Counter(
            "vcodec_images",
            "Images of finished jobs, by their input format.",
            ["route", "format", "model", "scale"],
            registry=registry,
        )
        self._codec_seconds = Histogram(
            "vcodec_codec_job_duration_seconds",
            "Seconds of decoding, device and encoding of a job, by the codec of the stream that was made or restored.",
            ["route", "codec"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self._codec_bytes = Histogram(
            "vcodec_codec_stream_bytes",
            "Sizes of the streams that were made or restored, by their codec.",
            ["route", "codec"],
            buckets=_BYTES_BUCKETS,
            registry=registry,
        )

    def observe(
        self, route: str, input_bytes: int, form: str, codec: str | None, result: Result, key: Key | None = None
    ) -> None:
        """Count a finished job on a file of that size and format, for that key.

        `codec` is the codec of the stream that was made or restored, None if there was none.
        """
        for stage, seconds in result.stages_s.items():
            self._stages.labels(route, stage).observe(seconds)
        self._images.labels(route, form, result.model, result.scale).inc()
        self._pixels.labels(route).observe(result.width * result.height)
        if key is not None:
            self._key_pixels.labels(key.id).inc(result.width * result.height)
        if isinstance(result, CompressResult) and result.model:  # an ordinary file has none
            self._rate.labels(result.model).observe(result.rate_bpp)
            self._ratio.labels(result.model).observe(input_bytes / len(result.stream))
        if codec is not None:
            work_s = sum(result.stages_s.get(stage, 0.0) for stage in _WORK_STAGES)
            self._codec_seconds.labels(route, codec).observe(work_s)
            stream_bytes = len(result.stream) if isinstance(result, CompressResult) else input_bytes
            self._codec_bytes.labels(route, codec).observe(stream_bytes)

    def observe_transfers(self, route: str, exchange: Exchange) -> None:
        """Observe the transfer times of a request's body and answer."""
        if exchange.is_done_post:
            for stage, seconds in exchange.stages_s.items():
                self._stages.labels(route, stage).observe(seconds)
