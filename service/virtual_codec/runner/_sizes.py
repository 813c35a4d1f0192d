"""Allowed batch sizes: those that change no bit of a tile's result."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, final

import numpy as np
import torch

from virtual_codec.runner._device import Pixels

Attempt = Callable[[Sequence[int]], tuple[list[Pixels], float]]
"""Function that runs the tiles of these indices as one batch: their results in that order, and the seconds."""

Value = TypeVar("Value")

_MAX_CACHED_KINDS: Final = 1024
_MAX_RELATIVE_TIME: Final = 0.95  # of the time of a tile alone; a smaller gain is not worth the waiting


@final
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Allowed sizes of batches of one kind, ascending from 1."""

    allowed: tuple[int, ...]

    def at_least(self, count: int) -> int:
        """Smallest allowed size that holds `count` tiles."""
        return next(size for size in self.allowed if size >= count)

    def cuts(self, count: int) -> Iterator[tuple[int, int]]:
        """Split `count` tiles into ranges, each at most as long as the largest size."""
        for start in range(0, count, self.allowed[-1]):
            yield start, min(count, start + self.allowed[-1])


@final
class BatchSizes:
    """Cache of allowed sizes: tests 1, 2, 4, ... up to `largest` for each frequent kind of batch.

    A size is allowed if every tile has the same bits as alone and takes less time. The first size that does not fit
    into memory ends the test. A test costs dozens of tiles, so the first `try_after` batches of a kind, and batches
    during the test of another kind, run tile by tile.
    """

    def __init__(self, largest: int, *, try_after: int = 8) -> None:
        self._ladder = [2**power for power in range(largest.bit_length()) if 2**power <= largest]
        self._try_after = try_after
        self._known: OrderedDict[Hashable, Sizes] = OrderedDict()
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._is_trying = False  # two tests at once would disturb each other's measurements
        self._lock = threading.Lock()

    def sizes_for(self, kind: Hashable, count: int, attempt: Attempt) -> Sizes:
        """Allowed sizes for a kind of batch; may test them now, with `count` tiles of it."""
        with self._lock:
            if kind in self._known:
                self._known.move_to_end(kind)
                return self._known[kind]
            seen = self._seen.get(kind, 0)
            _remember(self._seen, kind, seen + 1)
            if seen < self._try_after or self._is_trying:
                return _SINGLE_TILE
            self._is_trying = True
        try:
            sizes = self._tested_sizes(count, attempt)
            with self._lock:
                _remember(self._known, kind, sizes)
                self._seen.pop(kind, None)
            return sizes
        finally:
            self._is_trying = False

    def _tested_sizes(self, count: int, attempt: Attempt) -> Sizes:
        alone = [attempt([index]) for index in range(count)]
        alone_s = min(seconds for _, seconds in alone)
        allowed = [1]
        for size in self._ladder[1:]:
            tiles = [(index + size) % count for index in range(size)]  # at other positions, beside other tiles
            try:
                results, seconds = attempt(tiles)
            except torch.OutOfMemoryError:
                break
            same = all(np.array_equal(result, alone[tile][0][0]) for tile, result in zip(tiles, results, strict=True))
            if same and seconds / size < _MAX_RELATIVE_TIME * alone_s:
                allowed.append(size)
        return Sizes(allowed=tuple(allowed))


def _remember(latest: OrderedDict[Hashable, Value], kind: Hashable, value: Value) -> None:
    latest[kind] = value
    latest.move_to_end(kind)
    if len(latest) > _MAX_CACHED_KINDS:
        latest.popitem(last=False)


_SINGLE_TILE: Final = Sizes(allowed=(1,))
