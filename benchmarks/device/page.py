"""Page of a measurement: Markdown with the device, the bare networks and the service."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.device.networks import NetworkSpeed
from benchmarks.device.service import Load


def page(
    device: str,
    command: str,
    speeds: Sequence[NetworkSpeed],
    loads: Sequence[Load],
    notes: Mapping[str, str],
) -> str:
    """Page of all figures in Markdown."""
    day = datetime.now(UTC).date().isoformat()
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    parts = [
        f"# {device_name(device)}",
        f"Measured on {day} with {os.cpu_count()} processor cores, {versions}, by `{command}`.",
        "## Bare networks",
        _table(
            ("network", "image", "batch", "images/s", "MP/s"),
            [
                (
                    speed.network,
                    f"{speed.side}x{speed.side}",
                    speed.batch,
                    _figure(speed.images_per_s),
                    _figure(speed.megapixels_per_s),
                )
                for speed in speeds
            ],
        ),
        "## The service through HTTP",
        "Closed loops; stages are means of an answer's `Server-Timing`.",
        _table(
            ("load", "clients", "images/s", "MP/s", "p50 ms", "p99 ms", "not 200", "stages, ms"),
            [_row(load) for load in loads],
        ),
        "## Besides",
        "\n".join(f"- {name}: {value}" for name, value in notes.items()),
    ]
    return "\n\n".join(parts) + "\n"


def device_name(device: str) -> str:
    """Name of a CUDA device, or of the CPU."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")


def _row(load: Load) -> tuple[object, ...]:
    report = load.report
    answers = report.answers
    seconds = max((sample.finished_s for sample in report.samples), default=1.0)
    pixels = sum(sample.pixels for sample in answers)
    stages: dict[str, list[float]] = {}
    for sample in answers:
        for name, value in sample.stages_ms.items():
            stages.setdefault(name, []).append(value)
    means = " ".join(f"{name} {sum(values) / len(values):.0f}" for name, values in stages.items())
    failed = len(report.samples) - len(answers)
    latencies = (report.latency_ms(50), report.latency_ms(99)) if answers else (float("nan"),) * 2
    return (
        load.name,
        load.clients,
        _figure(report.images_per_s),
        _figure(pixels / 1e6 / seconds),
        f"{latencies[0]:.0f}",
        f"{latencies[1]:.0f}",
        failed,
        means,
    )


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)
