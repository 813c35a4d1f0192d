"""Soak test: memory and descriptors over time under ordinary load, and equal answers to repeated requests."""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.reliability._check import AllowedOutcomes, Checker
from benchmarks.reliability._faults import Facts
from benchmarks.reliability._run import running
from benchmarks.reliability._scenarios import Scenario
from benchmarks.reliability._server import ServerUnderTest
from virtual_codec.load_test import MIXED, HttpSender, LoadProfile, Request, parse_sizes, run_load_test, synthetic_png

_SAMPLE_S: Final = 5.0
_WARM_UP_SHARE: Final = 0.25  # share of the time that is not measured, in which caches and memory arenas grow
_CLIENTS: Final = 2
_TIME: Final = {"Request-Timeout-Ms": "600000"}


def soak(seconds: float) -> Facts:
    """Soak test with mixed sizes: the slopes of memory and descriptors after the warm-up."""
    with tempfile.TemporaryDirectory() as name, running(Scenario(description=""), Path(name)) as subject:
        sender = HttpSender(subject.url, headers=_TIME, timeout_s=700)
        pictures = [
            Request(path="/compress", content=synthetic_png(*size, seed=size[0]), label="compress")
            for size in parse_sizes(",".join(MIXED))
        ]
        streams = [Request(path="/decompress", content=sender.send(it).content, label="decompress") for it in pictures]
        requests = [request for pair in zip(pictures, streams, strict=True) for request in pair]
        checker = Checker(sender, AllowedOutcomes())
        checker.learn(requests)
        samples: list[tuple[float, dict[str, int], dict[str, int]]] = []
        stop = threading.Event()
        sampler = threading.Thread(target=_sample, args=(subject, samples, stop), daemon=True)
        sampler.start()
        load = LoadProfile(requests=requests, clients=_CLIENTS, seconds=seconds)
        report = run_load_test(load, checker)
        stop.set()
        sampler.join()
        sender.close()
        steady = [it for it in samples if it[0] >= _WARM_UP_SHARE * seconds]
        hours = [at / 3600 for at, _, _ in steady]
        return {
            "seconds": round(seconds),
            "clients": _CLIENTS,
            "answered_per_s": round(report.images_per_s, 2),
            "sizes": list(MIXED),
            **checker.summary(),
            "latency_ms": {f"p{percent}": round(report.latency_ms(percent)) for percent in (50, 99, 100)},
            "worker_deaths": subject.deaths(),
            "warm_up_seconds": round(_WARM_UP_SHARE * seconds),
            "memory": {
                part: slope(hours, [float(memory[part]) for _, memory, _ in steady]) for part in ("server", "workers")
            },
            "descriptors": {
                part: slope(hours, [float(open_[part]) for _, _, open_ in steady]) for part in ("server", "workers")
            },
        }


def repeat(count: int, limit_s: float) -> Facts:
    """Repeat two small requests until a count or a time limit, and compare each answer with the first."""
    with tempfile.TemporaryDirectory() as name, running(Scenario(description=""), Path(name)) as subject:
        sender = HttpSender(subject.url, headers=_TIME, timeout_s=700)
        picture = Request(path="/compress?quality=40&effort=0", content=synthetic_png(48, 48), label="compress")
        stream = Request(path="/decompress", content=sender.send(picture).content, label="decompress")
        checker = Checker(sender, AllowedOutcomes())
        checker.learn([picture, stream])
        start = time.monotonic()
        done = 0
        while done < count and time.monotonic() - start < limit_s:
            checker.send((picture, stream)[done % 2])
            done += 1
        sender.close()
        return {
            "wanted": count,
            "seconds": round(time.monotonic() - start),
            **checker.summary(),
            "worker_deaths": subject.deaths(),
        }


def slope(hours: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Fit a line by least squares: mean, and slope in percent of it an hour, with two standard errors.

    Samples that follow each other are alike, so the error takes runs of a minute as one sample each.
    """
    run = max(1, round(60 / _SAMPLE_S))
    times = [sum(hours[at : at + run]) / run for at in range(0, len(hours) - run + 1, run)]
    means = [sum(values[at : at + run]) / run for at in range(0, len(values) - run + 1, run)]
    count = len(times)
    if count < 3:
        raise ValueError("a soak takes at least five minutes")
    centre, mean = sum(times) / count, sum(means) / count
    spread = sum((at - centre) ** 2 for at in times)
    slope = sum((at - centre) * (value - mean) for at, value in zip(times, means, strict=True)) / spread
    rest = sum((value - mean - slope * (at - centre)) ** 2 for at, value in zip(times, means, strict=True))
    error = math.sqrt(rest / (count - 2) / spread)
    return {
        "mean": round(mean),
        "least": min(values),
        "most": max(values),
        "percent_an_hour": round(100 * slope / mean, 2),
        "plus_minus": round(200 * error / mean, 2),
    }


def _sample(
    subject: ServerUnderTest, samples: list[tuple[float, dict[str, int], dict[str, int]]], stop: threading.Event
) -> None:
    start = time.monotonic()
    while not stop.wait(_SAMPLE_S):
        samples.append((time.monotonic() - start, subject.resident_bytes(), subject.descriptors()))
