"""Batch formation: groups tiles by network and shape, with fair queueing between jobs and a pixel budget.

It has no threads and no clocks; `virtual_codec.runner._batching` has those.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, final

_GROWTH: Final = 1.25
_GROW_AFTER: Final = 16  # successful batches since the budget last changed


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """Limits of one batch: number of items, and sum of their pixels. A single item may have more pixels."""

    max_items: int = 1
    max_pixels: int = 16_000_000

    def __post_init__(self) -> None:
        for name in ("max_items", "max_pixels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(eq=False, kw_only=True)
class Item:
    """Waiting tile. Items with the same `key` can share a batch; `owner` is its job in fair queueing.

    An `exclusive` item runs while nothing else runs. `start_tag` is set by the batcher.
    """

    key: Hashable
    pixels: int
    owner: Hashable
    exclusive: bool = False
    start_tag: float = 0.0


@final
class Batcher:
    """Waiting items in fair order, and the budget of pixels.

    Start-time fair queueing: waiting owners get equal shares of pixels, so an owner with a thousand tiles delays one
    with a single tile by one batch, not by a thousand.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.budget_pixels = limits.max_pixels
        self._waiting: dict[Item, None] = {}  # in order of arrival, which decides between equal tags
        self._next_tags: dict[Hashable, float] = {}
        self._virtual_time = 0.0
        self._successes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def owners(self) -> int:
        """Number of owners that have added an item and have not been forgotten."""
        return len(self._next_tags)

    @property
    def waiting_pixels(self) -> int:
        """Pixels of all items that wait."""
        return sum(item.pixels for item in self._waiting)

    def add(self, item: Item) -> None:
        """Add an item."""
        item.start_tag = max(self._virtual_time, self._next_tags.get(item.owner, 0.0))
        self._next_tags[item.owner] = item.start_tag + item.pixels
        self._waiting[item] = None

    def put_back(self, items: list[Item]) -> None:
        """Put back items that were taken but not run, before all others."""
        self._waiting = dict.fromkeys(items) | self._waiting

    def discard(self, item: Item) -> bool:
        """Remove an item; False if it does not wait."""
        return self._waiting.pop(item, self) is None

    def clear(self) -> list[Item]:
        """Remove and return all waiting items."""
        waiting, self._waiting = list(self._waiting), {}
        return waiting

    def take(self, *, is_idle: bool = True) -> list[Item]:
        """Remove and return the next batch, empty if nothing can run. `is_idle`: no other batch runs now."""
        if not self._waiting:
            return []
        first = min(self._waiting, key=_start_tag)
        if first.exclusive and not is_idle:
            return []
        batch = [first] if first.exclusive else self._fill(first)
        owners = len({item.owner for item in self._waiting})
        for item in batch:
            del self._waiting[item]
        # The virtual time advances by the share of each waiting owner, so that endless new owners do not starve earlier
        # ones.
        self._virtual_time = max(first.start_tag, self._virtual_time + sum(item.pixels for item in batch) / owners)
        return batch

    def forget(self, owner: Hashable) -> None:
        """Remove an owner that has no waiting items and adds no more."""
        self._next_tags.pop(owner, None)

    def succeeded(self) -> None:
        """Count a batch that fitted into memory. After some of them in a row, a reduced budget grows again."""
        self._successes += 1
        if self._successes >= _GROW_AFTER and self.budget_pixels < self.limits.max_pixels:
            self.budget_pixels = min(self.limits.max_pixels, int(self.budget_pixels * _GROWTH) + 1)
            self._successes = 0

    def ran_out_of_memory(self, batch: list[Item]) -> None:
        """Reduce the budget to half of a batch that did not fit into memory."""
        pixels = sum(item.pixels for item in batch)
        self.budget_pixels = max(1, min(self.budget_pixels, pixels) // 2)
        self._successes = 0

    def _fill(self, first: Item) -> list[Item]:
        batch, pixels = [first], first.pixels
        alike = (item for item in self._waiting if item.key == first.key and item is not first and not item.exclusive)
        for item in sorted(alike, key=_start_tag):
            if len(batch) == self.limits.max_items or pixels + item.pixels > self.budget_pixels:
                break
            batch.append(item)
            pixels += item.pixels
        return batch


def _start_tag(item: Item) -> float:
    return item.start_tag
