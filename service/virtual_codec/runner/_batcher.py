"""What runs next: tiles of one network and shape together, jobs in fair turns, within a budget of pixels.

Pure bookkeeping without threads or clocks; `virtual_codec.runner._batching` brings those.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, final

_GROWTH: Final = 1.25
_GROW_AFTER: Final = 16  # batches that went well since the budget last moved


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """How much runs as one batch: items, and pixels of them together. A lone item may have more pixels."""

    max_items: int = 1
    max_pixels: int = 16_000_000

    def __post_init__(self) -> None:
        for name in ("max_items", "max_pixels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(eq=False, kw_only=True)
class Item:
    """A tile that waits. Those of one `key` can share a batch; `owner` is whose turn it is when it is taken.

    A `lonely` item runs while nothing else does. `turn` is the batcher's.
    """

    key: Hashable
    pixels: int
    owner: Hashable
    lonely: bool = False
    turn: float = 0.0


@final
class Batcher:
    """Waiting items, and the budget.

    Turns are fair queueing by start tags: an owner's next item comes after as many pixels of every other owner that
    waits, so one with a thousand tiles delays one with a single tile by one batch, not by a thousand.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.budget_pixels = limits.max_pixels
        self._waiting: dict[Item, None] = {}  # in order of arrival, which decides between equal turns
        self._next_turn: dict[Hashable, float] = {}
        self._now = 0.0
        self._successes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def owners(self) -> int:
        """How many owners have had an item and are not done."""
        return len(self._next_turn)

    @property
    def waiting_pixels(self) -> int:
        """Pixels of all items that wait."""
        return sum(item.pixels for item in self._waiting)

    def add(self, item: Item) -> None:
        """Let an item wait for its turn."""
        item.turn = max(self._now, self._next_turn.get(item.owner, 0.0))
        self._next_turn[item.owner] = item.turn + item.pixels
        self._waiting[item] = None

    def put_back(self, items: list[Item]) -> None:
        """Let items wait again that were taken but not done: their turn has come already."""
        self._waiting = dict.fromkeys(items) | self._waiting

    def discard(self, item: Item) -> bool:
        """Forget an item; False when it does not wait."""
        return self._waiting.pop(item, self) is None

    def clear(self) -> list[Item]:
        """Take out all that waits, never to run."""
        waiting, self._waiting = list(self._waiting), {}
        return waiting

    def take(self, *, is_idle: bool = True) -> list[Item]:
        """Take out what runs next as one batch; nothing when nothing can. `is_idle`: no other batch runs now."""
        if not self._waiting:
            return []
        first = min(self._waiting, key=_turn)
        if first.lonely and not is_idle:
            return []
        batch = [first] if first.lonely else self._fill(first)
        owners = len({item.owner for item in self._waiting})
        for item in batch:
            del self._waiting[item]
        # Time goes on by what each who waits has got, so that newcomers without end do not starve who came before.
        self._now = max(first.turn, self._now + sum(item.pixels for item in batch) / owners)
        return batch

    def forget(self, owner: Hashable) -> None:
        """An owner is done: it has nothing waiting, and comes no more."""
        self._next_turn.pop(owner, None)

    def succeeded(self) -> None:
        """A batch went well: after some of them in a row a budget that was cut grows again."""
        self._successes += 1
        if self._successes >= _GROW_AFTER and self.budget_pixels < self.limits.max_pixels:
            self.budget_pixels = min(self.limits.max_pixels, int(self.budget_pixels * _GROWTH) + 1)
            self._successes = 0

    def ran_out_of_memory(self, batch: list[Item]) -> None:
        """A batch did not fit into memory: allow half of it from now on."""
        pixels = sum(item.pixels for item in batch)
        self.budget_pixels = max(1, min(self.budget_pixels, pixels) // 2)
        self._successes = 0

    def _fill(self, first: Item) -> list[Item]:
        batch, pixels = [first], first.pixels
        alike = (item for item in self._waiting if item.key == first.key and item is not first and not item.lonely)
        for item in sorted(alike, key=_turn):
            if len(batch) == self.limits.max_items or pixels + item.pixels > self.budget_pixels:
                break
            batch.append(item)
            pixels += item.pixels
        return batch


def _turn(item: Item) -> float:
    return item.turn
