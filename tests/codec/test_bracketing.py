from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtual_codec.codec.bracketing import solve_by_false_position


def solved(
    f: Callable[[float], float], wanted: float, *, first: float = 2.0, tolerance: float = 0.02
) -> tuple[tuple[float | None, float], int]:
    places: list[float] = []

    def evaluate(x: float) -> tuple[float, float]:
        places.append(x)
        return f(x), x

    found = solve_by_false_position(
        evaluate, target=wanted, low=0.0, high=5.5, first=first, slope=-3.0, tolerance=tolerance
    )
    assert all(0 <= place <= 5.5 for place in places)
    return found, len(places)


@given(st.floats(20, 45), st.floats(0.5, 5), st.floats(-0.3, 0.3))
def test_the_place_is_found_in_few_evaluations(wanted: float, steepness: float, bend: float) -> None:
    def f(x: float) -> float:
        return 48 - steepness * x - bend * steepness * x * (5.5 - x) / 5.5

    (place, value), evaluations = solved(f, wanted)
    if f(0.0) < wanted:
        assert place is None
        assert value == f(0.0)
        return
    assert place is not None
    assert value == f(place) >= wanted
    assert evaluations <= 10
    assert value - wanted <= 0.02 or place == 5.5 or f(min(5.5, place + 0.1)) < wanted


def test_a_guess_on_the_spot_needs_no_second_look() -> None:
    assert solved(lambda x: 40 - 3 * x, 34.0)[1] == 1


def test_the_far_end_is_taken_where_even_that_is_good_enough() -> None:
    assert solved(lambda x: 40 - x, 5.0)[0] == (5.5, 34.5)


@pytest.mark.parametrize("first", [0.0, 2.0, 5.5])
def test_an_unreachable_target_returns_the_nearest_value(first: float) -> None:
    assert solved(lambda x: 30 - x, 31.0, first=first)[0] == (None, 30.0)


def test_a_staircase_ends_on_the_right_side() -> None:
    (place, value), _ = solved(lambda x: 40 - 4 * math.floor(3 * x) / 3, 33.0, tolerance=0.0)
    assert place is not None
    assert value >= 33
    assert place == pytest.approx(5 / 3 + 1 / 3, abs=0.05)


def test_places_that_mean_the_same_are_evaluated_once() -> None:
    places: list[float] = []

    def evaluate(x: float) -> tuple[float, float]:
        places.append(x)
        return 40 - 2 * math.floor(2 * x), x

    best, value = solve_by_false_position(
        evaluate,
        target=33.0,
        low=0.0,
        high=5.5,
        first=1.0,
        slope=-3.0,
        tolerance=0.02,
        key=lambda x: math.floor(2 * x),
    )
    assert best is not None
    assert (math.floor(2 * best), value) == (3, 34)
    assert len({math.floor(2 * place) for place in places}) == len(places)


def test_an_end_that_stands_still_is_left_behind() -> None:
    _, evaluations = solved(lambda x: 45 - math.exp(x), 30.0, first=1.0, tolerance=0.01)
    assert evaluations <= 8
