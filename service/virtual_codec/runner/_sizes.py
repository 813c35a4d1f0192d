"""Batch sizes that change no bit of any tile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch

from virtual_codec.runner._device import Pixels

Attempt = Callable[[Sequence[int]], tuple[list[Pixels], float]]
"""Function that runs the tiles of these indices as one batch: their results in that order, and the seconds."""

_REMEMBERED: Final = 1024
_MAX_RELATIVE_TIME: Final = 0.95  # of a tile alone; what saves less does not pay for waiting


@final
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Allowed sizes of batches of one kind, ascending from 1."""

    allowed: tuple[int, ...]

    def at_least(self, count: int) -> int:
        """Smallest allowed size that holds so many tiles."""
        return next(size for size in self.allowed if size >= count)

    def cuts(self, count: int) -> Iterator[tuple[int, int]]:
        """Split `count` tiles into ranges, each at most as long as the largest size."""
        for start in range(0, count, self.allowed[-1]):
            yield start, min(count, start + self.allowed[-1])


@final
class BatchSizes:
    """Cache of allowed sizes: tries 1, 2, 4, ... up to `largest` once for each kind of batch.

    A size is allowed where every tile has the bits that it has alone and takes less time. One that does not fit into
    memory ends the ladder.
    """

    def __init__(self, largest: int) -> None:
        self._ladder = [2**power for power in range(largest.bit_length()) if 2**power <= largest]
        self._known: OrderedDict[Hashable, Sizes] = OrderedDict()
        self._lock = threading.Lock()

    def sizes_for(self, kind: Hashable, count: int, attempt: Attempt) -> Sizes:
        """Allowed sizes for a kind of batch, tried with `count` tiles of it."""
        with self._lock:  # two threads that try at once would measure each other
            if kind not in self._known:
                self._known[kind] = self._tried(count, attempt)
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(kind)
            return self._known[kind]

    def _tried(self, count: int, attempt: Attempt) -> Sizes:
        alone = [attempt([index]) for index in range(count)]
        alone_s = min(seconds for _, seconds in alone)
        allowed = [1]
        for size in self._ladder[1:]:
            tiles = [(index + size) % count for index in range(size)]  # at other places, beside other tiles
            try:
                results, seconds = attempt(tiles)
            except torch.OutOfMemoryError:
                break
            same = all(np.array_equal(result, alone[tile][0][0]) for tile, result in zip(tiles, results, strict=True))
            if same and seconds / size < _MAX_RELATIVE_TIME * alone_s:
                allowed.append(size)
        return Sizes(allowed=tuple(allowed))
