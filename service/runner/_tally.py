"""What a runner has done, for metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from service.runner._batcher import Batcher, Item

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class RunnerCounts:
    """Totals since the runner was opened, and `waiting_*`, `running` and `budget_pixels` as they are now.

    `busy_s` is the sum over batches, so that it grows by more than one a second where several run at a time.
    """

    batches: int = 0
    items: int = 0
    pixels: int = 0
    busy_s: float = 0.0
    bisections: int = 0
    out_of_memory: int = 0
    waiting_items: int = 0
    waiting_pixels: int = 0
    running: int = 0
    budget_pixels: int = 0


@final
class BatchTally:
    """Counts batches. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = self._items = self._pixels = self._bisections = self._out_of_memory = 0
        self._busy_s = 0.0

    def timed(self, batch: Sequence[Item], run: Callable[[], Result]) -> Result:
        """Run a batch and count it, unless it fails."""
        started = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        with self._lock:
            self._batches += 1
            self._items += len(batch)
            self._pixels += sum(item.pixels for item in batch)
            self._busy_s += seconds
        return result

    def bisected(self) -> None:
        """A batch failed and was split."""
        with self._lock:
            self._bisections += 1

    def out_of_memory(self) -> None:
        """A batch did not fit into memory."""
        with self._lock:
            self._out_of_memory += 1

    def counts(self, batcher: Batcher, *, running: int) -> RunnerCounts:
        """All of it, with what waits and runs now."""
        with self._lock:
            return RunnerCounts(
                batches=self._batches,
                items=self._items,
                pixels=self._pixels,
                busy_s=self._busy_s,
                bisections=self._bisections,
                out_of_memory=self._out_of_memory,
                waiting_items=len(batcher),
                waiting_pixels=batcher.waiting_pixels,
                running=running,
                budget_pixels=batcher.budget_pixels,
            )
