"""Search for the highest arrival rate at which a server keeps a latency limit."""

from __future__ import annotations

from collections.abc import Callable

from virtual_codec.load_test._report import Report


def find_rate(
    measure: Callable[[float], Report], *, most_per_s: float, limit_s: float, percent: float = 99.0, steps: int = 6
) -> Report | None:
    """Bisect the arrival rates from 0 to `most_per_s` in `steps` steps.

    `measure` loads the server at a rate per second. A rate keeps the limit if every request was answered and `percent`
    of the answers came within `limit_s`. Returns the report of the highest rate that did, or None.
    """
    low, high = 0.0, most_per_s
    best: Report | None = None
    for _ in range(steps):
        rate = (low + high) / 2
        report = measure(rate)
        if len(report.answers) == len(report.samples) and report.latency_ms(percent) <= 1000 * limit_s:
            best, low = report, rate
        else:
            high = rate
    return best
