from __future__ import annotations

import pytest

from virtual_codec.load_test import Report, Sample, find_rate


def of_a_queue(rate_per_s: float) -> Report:
    """A server of 10 images/s, whose latency is that of the simplest queue: 1 / (10 - rate)."""
    latency_s = 1 / (10 - rate_per_s) if rate_per_s < 10 else 60.0
    samples = [
        Sample(label="", due_s=number, sent_s=number, finished_s=number + latency_s, status="200")
        for number in range(10)
    ]
    return Report(samples=samples, seconds=70, clients=1, rate_per_s=rate_per_s)


def test_the_highest_rate_within_the_limit_is_found() -> None:
    best = find_rate(of_a_queue, most_per_s=16, limit_s=0.5, steps=10)
    assert best is not None
    assert best.rate_per_s == pytest.approx(8, abs=0.02)
    assert best.latency_ms(99) <= 500


def test_a_limit_that_no_rate_keeps_finds_none() -> None:
    assert find_rate(of_a_queue, most_per_s=16, limit_s=0.05) is None


def test_a_rate_at_which_requests_fail_is_too_high() -> None:
    def measure(rate_per_s: float) -> Report:
        status = "200" if rate_per_s < 3 else "503"
        sample = Sample(label="", due_s=0, sent_s=0, finished_s=0.01, status=status)
        return Report(samples=[sample], seconds=1, clients=1, rate_per_s=rate_per_s)

    best = find_rate(measure, most_per_s=8, limit_s=1, steps=10)
    assert best is not None
    assert best.rate_per_s == pytest.approx(3, abs=0.02)
