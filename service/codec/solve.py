"""The largest abscissa at which a falling function is still high enough, in few evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeVar

Item = TypeVar("Item")

_TRIES: Final = 10
_NARROW: Final = 0.002  # of the bracket: nothing is won within a step a fifth of a percent coarser
_INSIDE: Final = 0.08  # of the bracket: how near its ends the next abscissa may lie


def largest(
    evaluate: Callable[[float], tuple[float, Item]],
    *,
    wanted: float,
    low: float,
    high: float,
    first: float,
    slope: float,
    tolerance: float,
) -> tuple[Item | None, float]:
    """What `evaluate` made at the largest abscissa found whose value is at least `wanted`, and that value.

    `evaluate(x)` gives a value that falls with x, and what was made there. It begins at `first`, goes on along `slope`
    (below 0) until the place is bracketed, then by secants, until the value is less than `tolerance` too high. Where
    even `low` does not reach `wanted`: None, and the value at `low`.
    """
    assert slope < 0
    assert low <= high
    best: tuple[Item | None, float] = (None, float("-inf"))
    reached: tuple[float, float] | None = None
    missed: tuple[float, float] | None = None
    x = min(high, max(low, first))
    aim, moved = wanted + tolerance / 3, 0.0
    for _ in range(_TRIES):
        value, item = evaluate(x)
        if value >= wanted:
            reached, best = (x, value), (item, value)
            if value - wanted <= tolerance or x >= high:
                return best
        else:
            missed = (x, value)
            if x <= low:
                return None, value
        del item  # it may be a whole image
        if reached and missed:
            width = missed[0] - reached[0]
            if width < _NARROW:
                return best
            place = (reached[1] - aim) / max(reached[1] - missed[1], 1e-12)
            x = reached[0] + width * min(1 - _INSIDE, max(_INSIDE, place))
        else:
            move = (aim - value) / slope
            move = math.copysign(max(abs(move), 2 * abs(moved)), move)  # a second step one way is longer than the first
            x, moved = min(high, max(low, x + move)), move
    if best[0] is None:
        value, item = evaluate(low)
        best = (item, value) if value >= wanted else (None, value)
    return best
