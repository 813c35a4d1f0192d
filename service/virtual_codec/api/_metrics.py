"""Prometheus metrics of this process. Workers have none: they send their measurements with each result."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from virtual_codec.api._budget import ByteBudget
from virtual_codec.api._counters import JobCounters, RequestCounters
from virtual_codec.api._exchange import Exchange
from virtual_codec.api._state import StateCollector
from virtual_codec.keys import Key
from virtual_codec.serving import PoolState, Result
from virtual_codec.serving.catalogue import Catalogue


@final
class Metrics:
    """Registry of all metrics."""

    def __init__(
        self,
        catalogue: Catalogue,
        pool: Callable[[], PoolState],
        is_draining: Callable[[], bool],
        queue_limit_s: float,
        budget: ByteBudget,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the number of samples for no use here
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(StateCollector(catalogue, pool, is_draining, queue_limit_s, budget))
        self._requests = RequestCounters(self._registry)
        self._jobs = JobCounters(self._registry)

    @property
    def in_progress(self) -> Gauge:
        """Gauge of the jobs being received or done, by route."""
        return self._requests.in_progress

    def observe_request(self, route: str, exchange: Exchange, seconds: float) -> None:
        """Count an answered request."""
        self._requests.observe(route, exchange, seconds)
        self._jobs.observe_transfers(route, exchange)

    def observe_result(
        self, route: str, input_bytes: int, form: str, codec: str | None, result: Result, key: Key | None = None
    ) -> None:
        """Count a finished job on a file of that size and format, with a stream of that codec, for that key."""
        self._jobs.observe(route, input_bytes, form, codec, result, key)

    def render(self) -> bytes:
        """Render all metrics in the Prometheus text format."""
        return generate_latest(self._registry)
