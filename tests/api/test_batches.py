from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from virtual_codec.api._batches import runner_metrics
from virtual_codec.counts import RunnerCounts


def test_metrics_of_batches_are_valid_for_prometheus() -> None:
    counts = RunnerCounts(items=RunnerCounts().items.with_value(1).with_value(3), out_of_memory=2, budget_pixels=9)
    registry = CollectorRegistry()

    class Shown(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from runner_metrics({"cuda:0": counts})

    registry.register(Shown())
    text = generate_latest(registry).decode()
    for line in (
        'vcodec_batch_items_bucket{device="cuda:0",le="1.0"} 1.0',
        'vcodec_batch_items_bucket{device="cuda:0",le="4.0"} 2.0',
        'vcodec_batch_items_bucket{device="cuda:0",le="+Inf"} 2.0',
        'vcodec_batch_items_sum{device="cuda:0"} 4.0',
        'vcodec_batches_total{device="cuda:0"} 2.0',
        'vcodec_device_oom_total{device="cuda:0"} 2.0',
        'vcodec_device_pixel_budget{device="cuda:0"} 9.0',
    ):
        assert line in text
