from __future__ import annotations

from itertools import pairwise
from statistics import mean, pstdev

import pytest

from virtual_codec.load_test import ARRIVALS


@pytest.mark.parametrize("name", sorted(ARRIVALS))
def test_arrivals_keep_the_rate_and_the_time(name: str) -> None:
    times = ARRIVALS[name](50.0, 100.0, 1)
    assert len(times) == pytest.approx(5000, rel=0.05)
    assert sorted(times) == list(times)
    assert times[0] >= 0
    assert times[-1] < 100


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert ARRIVALS["constant"](4.0, 1.0, 0) == [0.0, 0.25, 0.5, 0.75]


def test_poisson_arrivals_have_the_spread_of_independent_callers_and_follow_their_seed() -> None:
    times = ARRIVALS["poisson"](10.0, 1000.0, 3)
    gaps = [late - early for early, late in pairwise(times)]
    assert pstdev(gaps) == pytest.approx(mean(gaps), rel=0.05)  # of exponential gaps
    assert ARRIVALS["poisson"](10.0, 1000.0, 3) == times
    assert ARRIVALS["poisson"](10.0, 1000.0, 4) != times
