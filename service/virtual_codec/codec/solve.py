"""The largest abscissa at which a falling function is still high enough, in few evaluations."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

Item = TypeVar("Item")

_TRIES: Final = 10
_LOOKS: Final = 40  # evaluations, and places that need none
_NARROW: Final = 0.002  # of the bracket: nothing is won within a step a fifth of a percent coarser
_INSIDE: Final = 0.02  # of the bracket: how near its ends the next abscissa may lie
_STEEPEST: Final = 2.5  # times the expected slope, or that part of it: what two near points say may be noise


@dataclass(frozen=True)
class _Point:
    """An abscissa, what it stands for, its value, and how heavily that counts when the next abscissa is chosen."""

    x: float
    key: Hashable
    value: float
    weight: float = 1.0


def largest(
    evaluate: Callable[[float], tuple[float, Item]],
    *,
    wanted: float,
    low: float,
    high: float,
    first: float,
    slope: float,
    tolerance: float,
    key: Callable[[float], Hashable] = float,
) -> tuple[Item | None, float]:
    """What `evaluate` made at the largest abscissa found whose value is at least `wanted`, and that value.

    `evaluate(x)` gives a value that falls with x, and what was made there. It begins at `first` and goes on along
    `slope` (below 0), then along the last two points, until the place is bracketed; then by false position after
    Anderson and Bjorck (BIT 13, 1973, 253-264: an end that stands still loses weight) until the value is less than
    `tolerance` too high. Abscissae of one `key` have one value, and are not evaluated again. Where even `low` does not
    reach `wanted`: None, and the value at `low`.
    """
    assert slope < 0
    assert low <= high
    best: tuple[Item | None, float] = (None, float("-inf"))
    ends: dict[bool, _Point] = {}  # the nearest that reached it, and the nearest that missed it
    last: _Point | None = None
    x = min(high, max(low, first))
    aim = wanted + tolerance / 2
    tries = 0
    for _ in range(_LOOKS):
        name = key(x)
        value = next((end.value for end in ends.values() if end.key == name), None)
        if value is None:
            if tries == _TRIES:
                break
            value, item = evaluate(x)
            tries += 1
            if value >= wanted:
                best = (item, value)
            del item  # it may be a whole image
        here, has_reached = _Point(x, name, value), value >= wanted
        if has_reached and (value - wanted <= tolerance or x >= high):
            return best
        if not has_reached and x <= low:
            return None, value
        if last is not None and ends.get(has_reached) is last and (other := ends.get(not has_reached)):
            share = 1 - (value - aim) / (last.value - aim) if last.value != aim else 0.0
            ends[not has_reached] = replace(other, weight=other.weight * (share if share > 0 else 0.5))
        ends[has_reached] = here
        if len(ends) == 2:
            width = ends[False].x - ends[True].x
            if width < _NARROW:
                return best
            above, below = (max(end.weight * abs(end.value - aim), 1e-9) for end in (ends[True], ends[False]))
            x = ends[True].x + width * min(1 - _INSIDE, max(_INSIDE, above / (above + below)))
        else:
            seen = slope if last is None or last.x == x else (value - last.value) / (x - last.x)
            x = min(high, max(low, x + (aim - value) / min(slope / _STEEPEST, max(slope * _STEEPEST, seen))))
        last = here
    if best[0] is None:
        value, item = evaluate(low)
        best = (item, value) if value >= wanted else (None, value)
    return best
