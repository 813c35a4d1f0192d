"""Trials of the comparison: load, overload of four times the capacity, undecodable inputs, killed workers."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import processes
from benchmarks.servers.contenders import OURS, Served
from benchmarks.servers.material import request_of
from virtual_codec.load_test import HttpSender, LoadProfile, Report, Request, run_load_test

LIMIT_S = 5.0  # largest useful latency in the overload trial
_POISON = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + b"\xff\xda" + bytes(300)


@dataclass(kw_only=True)
class Row:
    """Measurement of one system: a row of the tables."""

    trial: str
    system: str
    variant: str
    figures: dict[str, Any] = field(default_factory=dict)


def throughput(served: Served, requests: Sequence[Request], *, clients: int, seconds: float) -> dict[str, Any]:
    """Figures of a closed loop."""
    family = served.family()
    before_s = processes.cpu_s(family)
    with _sender(served) as sender:
        report = run_load_test(LoadProfile(requests=requests, clients=clients, seconds=seconds), sender)
    spent_s = processes.cpu_s(family) - before_s
    # The processor time includes that of the warm-up requests.
    done = len(report.samples) + min(clients, 8)
    return {**summary(report), "clients": clients, "cpu_ms_per_image": round(1000 * spent_s / done, 1)}


def overload(served: Served, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
    """Capacity, then an open loop at four times that rate. Answers after `LIMIT_S` do not count."""
    with _sender(served) as sender:
        capacity = run_load_test(LoadProfile(requests=requests, clients=16, seconds=seconds / 2), sender).images_per_s
    load = LoadProfile(
        requests=requests, clients=1024, seconds=seconds, rate_per_s=max(1.0, 4 * capacity), limit_s=LIMIT_S
    )
    headers = {"Request-Timeout-Ms": str(round(1000 * LIMIT_S))} if served.contender.name == OURS else {}
    with _sender(served, timeout_s=4 * LIMIT_S, headers=headers) as sender:
        report = run_load_test(load, sender)
    return {
        **summary(report),
        "capacity_per_s": round(capacity, 2),
        "goodput_per_s": round(report.goodput_per_s, 2),
        "goodput_share": round(report.goodput_per_s / capacity, 3) if capacity else 0.0,
        "refusal_p50_ms": _rounded(report.refusal_ms(50)),
        "refusal_p99_ms": _rounded(report.refusal_ms(99)),
    }


def poison(served: Served, requests: Sequence[Request], *, seconds: float) -> dict[str, Any]:
    """Outcomes of valid requests when one request of six cannot be decoded."""
    mixed = [*requests[:5], request_of(_POISON, requests[0].path.strip("/"), "poison")]
    with _sender(served, timeout_s=20) as sender:
        report = run_load_test(LoadProfile(requests=mixed, clients=8, seconds=seconds), sender)
    bad = [sample for sample in report.samples if sample.label == "poison"]
    good = [sample for sample in report.samples if sample.label != "poison"]
    return {
        "good": len(good),
        "good_failed": sum(not sample.is_answer for sample in good),
        "poison": len(bad),
        "poison_statuses": _counts(bad),
    }


def kills(served: Served, requests: Sequence[Request], *, seconds: float, every_s: float) -> dict[str, Any]:
    """Repeated SIGKILL of the busiest worker under load."""
    killed: list[int] = []
    over = threading.Event()

    def strike() -> None:
        while not over.wait(every_s):
            if (pid := processes.busiest(served.workers())) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    striker = threading.Thread(target=strike)
    with _sender(served, timeout_s=30) as sender:
        striker.start()
        timer = threading.Timer(seconds - every_s / 2, over.set)  # no kill near the end
        timer.start()
        report = run_load_test(LoadProfile(requests=requests, clients=8, seconds=seconds), sender)
        over.set()
        striker.join()
        time.sleep(1)
        after = sender.send(requests[0])
    return {
        "kills": len(killed),
        "requests": len(report.samples),
        "lost": len(report.samples) - len(report.answers),
        "statuses": dict(report.statuses),
        "max_ms": _rounded(report.latency_ms(100)),
        "images_per_s": round(report.images_per_s, 2),
        "afterwards": after.status,
    }


def summary(report: Report) -> dict[str, Any]:
    return {
        "images_per_s": round(report.images_per_s, 2),
        "megapixels_per_s": round(report.megapixels_per_s, 2),
        "p50_ms": _rounded(report.latency_ms(50)),
        "p99_ms": _rounded(report.latency_ms(99)),
        "requests": len(report.samples),
        "errors": len(report.samples) - len(report.answers),
        "statuses": dict(report.statuses),
    }


def _counts(samples: Sequence[Any]) -> dict[str, int]:
    return {status: sum(s.status == status for s in samples) for status in sorted({s.status for s in samples})}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)


@contextlib.contextmanager
def _sender(served: Served, *, timeout_s: float = 120.0, headers: dict[str, str] | None = None) -> Iterator[HttpSender]:
    with contextlib.closing(HttpSender(served.url, headers=headers, timeout_s=timeout_s)) as sender:
        yield sender
