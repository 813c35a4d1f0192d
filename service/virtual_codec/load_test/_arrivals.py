"""Arrival times of the requests of an open loop, in seconds from its start."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

Arrivals = Callable[[float, float, int], Sequence[float]]


def constant(rate_per_s: float, seconds: float, _seed: int) -> list[float]:
    """Evenly spaced arrivals: `rate_per_s * seconds` of them, the first at 0."""
    return [number / rate_per_s for number in range(round(rate_per_s * seconds))]


def poisson(rate_per_s: float, seconds: float, seed: int) -> list[float]:
    """Poisson arrivals of independent callers: the gaps are exponentially distributed."""
    generator = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    times: list[float] = []
    now = generator.expovariate(rate_per_s)
    while now < seconds:
        times.append(now)
        now += generator.expovariate(rate_per_s)
    return times


ARRIVALS: Final[dict[str, Arrivals]] = {"poisson": poisson, "constant": constant}
