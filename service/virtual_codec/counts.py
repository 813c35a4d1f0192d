"""Counters of a runner, as plain values that can be sent between processes and added up."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, fields
from typing import Self, final

ITEMS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
PIXELS = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@final
@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Histogram: `counts[i]` values in (bounds[i-1], bounds[i]], the last one above all bounds; `total` is the sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...] = ()
    total: float = 0.0

    def __post_init__(self) -> None:
        if not self.counts:
            object.__setattr__(self, "counts", (0,) * (len(self.bounds) + 1))

    def with_value(self, value: float) -> Self:
        """Copy with one more value."""
        place = bisect_left(self.bounds, value)
        counts = tuple(count + (index == place) for index, count in enumerate(self.counts))
        return type(self)(bounds=self.bounds, counts=counts, total=self.total + value)

    def __add__(self, other: Self) -> Self:
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return type(self)(bounds=self.bounds, counts=counts, total=self.total + other.total)


@final
@dataclass(frozen=True, kw_only=True)
class RunnerCounts:
    """Totals since a runner was opened: histograms of its batches by items, pixels and seconds, and failures.

    `waiting_items`, `waiting_pixels` and `budget_pixels` are values at that moment.
    """

    items: Distribution = field(default_factory=lambda: Distribution(bounds=ITEMS))
    pixels: Distribution = field(default_factory=lambda: Distribution(bounds=PIXELS))
    seconds: Distribution = field(default_factory=lambda: Distribution(bounds=SECONDS))
    bisections: int = 0
    failures: int = 0
    out_of_memory: int = 0
    waiting_items: int = 0
    waiting_pixels: int = 0
    budget_pixels: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})

    @property
    def batches(self) -> int:
        """Number of batches."""
        return sum(self.items.counts)
