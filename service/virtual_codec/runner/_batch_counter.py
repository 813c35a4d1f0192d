"""Batch counter of a runner, for metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.runner._batcher import Item

Result = TypeVar("Result")


@final
class BatchCounter:
    """Counter of batches. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = RunnerCounts()

    @property
    def counts(self) -> RunnerCounts:
        """Current counters."""
        return self._counts

    def timed(self, batch: Sequence[Item], run: Callable[[], Result]) -> Result:
        """Run a batch and count it, unless it fails."""
        started = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        pixels = sum(item.pixels for item in batch)
        with self._lock:
            now = self._counts
            self._counts = replace(
                now,
                items=now.items.with_value(len(batch)),
                pixels=now.pixels.with_value(pixels),
                seconds=now.seconds.with_value(seconds),
            )
        return result

    def bisected(self) -> None:
        """Count a batch that failed and was split."""
        with self._lock:
            self._counts = replace(self._counts, bisections=self._counts.bisections + 1)

    def failed(self, items: int) -> None:
        """Count tiles that failed for good."""
        with self._lock:
            self._counts = replace(self._counts, failures=self._counts.failures + items)

    def out_of_memory(self) -> None:
        """Count a batch that did not fit into memory."""
        with self._lock:
            self._counts = replace(self._counts, out_of_memory=self._counts.out_of_memory + 1)
