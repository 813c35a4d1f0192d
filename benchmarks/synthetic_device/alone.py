"""Codec without a server: capacity of a machine's cores around an infinitely fast device."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.engine import other_jpeg
from benchmarks.synthetic_device.device import open_synthetic
from virtual_codec.cores import usable_cores
from virtual_codec.store import default_model_store


def codec_alone(side: int, seconds: float) -> dict[str, float]:
    """Restored images per second of one process on each core, and processor milliseconds per image.

    All at once, since cores that share a physical core, a cache or memory are slower beside each other.
    """
    count = usable_cores()
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as processes:
        found = list(processes.map(_alone, [side] * count, [seconds] * count))
    return {
        "images_per_s": sum(figures["images_per_s"] for figures in found),
        "cpu_ms": statistics.fmean(figures["cpu_ms"] for figures in found),
    }


def streams_of(side: int) -> list[bytes]:
    """Foreign JPEGs with sides of `side` pixels."""
    return [other_jpeg(side, side, seed) for seed in range(8)]


def _alone(side: int, seconds: float) -> dict[str, float]:
    """Restored images per second, and processor milliseconds per image, in one thread of this process."""
    streams = streams_of(side)
    codec = open_synthetic(store=default_model_store(), device="cpu", batch_ms=0.0)
    codec.restore(streams[0])
    started, cpu_s, count = time.perf_counter(), time.process_time(), 0
    while (elapsed_s := time.perf_counter() - started) < seconds:
        codec.restore(streams[count % len(streams)])
        count += 1
    codec.close()
    return {"images_per_s": count / elapsed_s, "cpu_ms": 1000 * (time.process_time() - cpu_s) / count}
