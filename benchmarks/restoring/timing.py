"""Processor times of alternatives, measured in turns, so that other load on the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians_s(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each alternative over `rounds` turns, after one warm-up turn."""
    found: dict[str, list[float]] = {name: [] for name in alternatives}
    for turn in range(rounds + 1):
        for name, run in alternatives.items():
            started = time.process_time()
            run()
            if turn:
                found[name].append(time.process_time() - started)
    return {name: statistics.median(seconds) for name, seconds in found.items()}
