"""Metrics of batches, from the counts of the runners in the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from virtual_codec.counts import RunnerCounts


def runner_metrics(counts: Mapping[str, RunnerCounts]) -> Iterator[Metric]:
    """Metric families of the runners' counters, by device. The counters change only when jobs finish."""
    for name, meaning in (
        ("batch_items", "Tiles of a batch."),
        ("batch_pixels", "Pixels of a batch, halos included."),
        ("batch_duration_seconds", "Seconds that a batch ran on the device."),
    ):
        family = HistogramMetricFamily(f"vcodec_{name}", meaning, labels=["device"])
        for device, device_counts in counts.items():
            values = {"batch_items": device_counts.items, "batch_pixels": device_counts.pixels}.get(
                name, device_counts.seconds
            )
            sums = accumulate(values.counts)
            bounds = [*(str(float(bound)) for bound in values.bounds), "+Inf"]
            family.add_metric([device], list(zip(bounds, sums, strict=True)), values.total)
        yield family
    for name, meaning, field in (
        ("batches", "Batches that were run.", "batches"),
        ("batch_bisections", "Batches that failed and were split.", "bisections"),
        ("batch_item_failures", "Tiles that failed for good.", "failures"),
        ("device_oom", "Batches that did not fit into memory.", "out_of_memory"),
    ):
        total = CounterMetricFamily(f"vcodec_{name}", meaning, labels=["device"])
        for device, device_counts in counts.items():
            total.add_metric([device], float(getattr(device_counts, field)))
        yield total
    for name, meaning, field in (
        ("device_queue_items", "Tiles that wait for the device.", "waiting_items"),
        ("device_queue_pixels", "Pixels of the tiles that wait for the device.", "waiting_pixels"),
        ("device_pixel_budget", "Limit on the pixels of a batch; it shrinks when memory runs out.", "budget_pixels"),
    ):
        gauge = GaugeMetricFamily(f"vcodec_{name}", meaning, labels=["device"])
        for device, device_counts in counts.items():
            gauge.add_metric([device], float(getattr(device_counts, field)))
        yield gauge
