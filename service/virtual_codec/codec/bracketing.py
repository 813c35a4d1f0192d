"""Root bracketing of a falling function in few evaluations, by false position."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

Item = TypeVar("Item")

_MAX_EVALUATIONS: Final = 10
_MAX_ITERATIONS: Final = 40  # limit on evaluations and repeated keys together
_MIN_BRACKET_WIDTH: Final = 0.002  # width of the bracket at which the search ends: a step 0.2 % finer gains nothing
_MIN_END_DISTANCE: Final = 0.02  # least distance of the next abscissa from the ends, as a share of the bracket
# Bound on the ratio of measured to expected slope: the slope of two close points may be noise.
_MAX_SLOPE_RATIO: Final = 2.5


@dataclass(frozen=True)
class _Point:
    """Evaluated abscissa: its key, its value, and the weight of that value in the choice of the next abscissa."""

    x: float
    key: Hashable
    value: float
    weight: float = 1.0


def solve_by_false_position(
    evaluate: Callable[[float], tuple[float, Item]],
    *,
    target: float,
    low: float,
    high: float,
    first: float,
    slope: float,
    tolerance: float,
    key: Callable[[float], Hashable] = float,
) -> tuple[Item | None, float]:
    """Item and value at the largest abscissa found whose value is at least `target`.

    `evaluate(x)` returns a value that falls with x, and an item. The search starts at `first` and follows `slope`
    (below 0), then the last two points, until the target is bracketed. False position after Anderson and Bjorck (BIT
    13, 1973, 253-264: an end that stays loses weight) then ends when the value exceeds `target` by less than
    `tolerance`. Abscissae of one `key` have one value and are evaluated once. If even `low` does not reach `target`,
    the item is None and the value is that at `low`.
    """
    assert slope < 0
    assert low <= high
    best: tuple[Item | None, float] = (None, float("-inf"))
    ends: dict[bool, _Point] = {}  # ends of the bracket: True for the one that reached the target
    last: _Point | None = None
    x = min(high, max(low, first))
    aim = target + tolerance / 2
    evaluations = 0
    for _ in range(_MAX_ITERATIONS):
        name = key(x)
        value = next((end.value for end in ends.values() if end.key == name), None)
        if value is None:
            if evaluations == _MAX_EVALUATIONS:
                break
            value, item = evaluate(x)
            evaluations += 1
            if value >= target:
                best = (item, value)
            del item  # it may be a whole image
        here, has_reached = _Point(x, name, value), value >= target
        if has_reached and (value - target <= tolerance or x >= high):
            return best
        if not has_reached and x <= low:
            return None, value
        if last is not None and ends.get(has_reached) is last and (other := ends.get(not has_reached)):
            share = 1 - (value - aim) / (last.value - aim) if last.value != aim else 0.0
            ends[not has_reached] = replace(other, weight=other.weight * (share if share > 0 else 0.5))
        ends[has_reached] = here
        if len(ends) == 2:
            width = ends[False].x - ends[True].x
            if width < _MIN_BRACKET_WIDTH:
                return best
            x = _false_position(ends[True], ends[False], aim)
        else:
            x = min(high, max(low, x + (aim - value) / _secant_slope(last, here, slope)))
        last = here
    if best[0] is None:
        value, item = evaluate(low)
        best = (item, value) if value >= target else (None, value)
    return best


def _false_position(above: _Point, below: _Point, aim: float) -> float:
    """Abscissa inside the bracket where the line through its weighted ends meets `aim`."""
    high, low = (max(end.weight * abs(end.value - aim), 1e-9) for end in (above, below))
    return above.x + (below.x - above.x) * min(1 - _MIN_END_DISTANCE, max(_MIN_END_DISTANCE, high / (high + low)))


def _secant_slope(last: _Point | None, here: _Point, slope: float) -> float:
    """Slope through two points, within a factor of `_MAX_SLOPE_RATIO` of the expected one."""
    secant = slope if last is None or last.x == here.x else (here.value - last.value) / (here.x - last.x)
    return min(slope / _MAX_SLOPE_RATIO, max(slope * _MAX_SLOPE_RATIO, secant))
