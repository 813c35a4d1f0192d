"""Batch queue: tiles of any number of jobs share the batches of one device.

tiles ──► batcher ──► batch threads ──► device ──► each tile, finished
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import is_device_lost, is_out_of_memory
from virtual_codec.jobs import Abandoned
from virtual_codec.runner._batch_counter import BatchCounter
from virtual_codec.runner._batcher import Batcher, Item
from virtual_codec.runner._device import Device, Pixels, Task


@dataclass(eq=False, kw_only=True)
class QueuedTile(Item):
    """Tile in a batch queue, with its result or error once a batch thread has called `finished`.

    The thread calls `started` before it runs an exclusive tile.
    """

    task: Task
    finished: Callable[[QueuedTile], None] = field(repr=False)
    started: Callable[[], None] = field(default=lambda: None, repr=False)
    result: Pixels | None = None
    error: BaseException | None = None

    @classmethod
    def of(cls, task: Task, owner: Hashable, finished: Callable[[QueuedTile], None]) -> QueuedTile:
        """Tile of a task for the job `owner`."""
        pixels = task.pixels.shape[0] * task.pixels.shape[1]
        return cls(key=task.key, pixels=pixels, owner=owner, task=task, finished=finished)


@final
class BatchQueue:
    """Queue of tiles before one device; may be used from any number of threads.

    The queue never delays a tile to fill a batch: a free batch thread takes the waiting tiles. A batch that does not
    fit into memory halves the pixel budget and runs again in parts. A batch that fails otherwise is split until only
    the faulty tile fails.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._batcher = Batcher(device.limits)
        self._counter = BatchCounter()
        self._changed = threading.Condition()
        self._running = 0
        self._started: dict[int, float] = {}  # by the thread that runs the batch
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._run_batches, name=f"batch-{index}", daemon=True)
            for index in range(device.batch_threads)
        ]
        for thread in self._threads:
            thread.start()
        # At exit, Python ends threads inside PyTorch's C++ code by unwinding, and C++ then calls `terminate`.
        atexit.register(self.close)

    @property
    def counts(self) -> RunnerCounts:
        """Counters since it was opened, and the waiting tiles."""
        with self._changed:
            return replace(
                self._counter.counts,
                waiting_items=len(self._batcher),
                waiting_pixels=self._batcher.waiting_pixels,
                budget_pixels=self._batcher.budget_pixels,
            )

    @property
    def owners(self) -> int:
        """Number of jobs that have tiles here."""
        with self._changed:
            return self._batcher.owners

    @property
    def running(self) -> int:
        """Number of batches that run now."""
        return self._running

    @property
    def longest_s(self) -> float:
        """Seconds that the longest of the running batches has run; 0 while none runs."""
        now = time.monotonic()
        return max((now - started for started in list(self._started.values())), default=0.0)

    def add(self, tile: QueuedTile) -> None:
        """Add a tile. Raises `Abandoned` when the queue is closed."""
        with self._changed:
            if self._is_closed:
                raise Abandoned
            self._batcher.add(tile)
            self._changed.notify()

    def forget(self, owner: Hashable, tiles: Iterable[QueuedTile]) -> list[QueuedTile]:
        """Discard and return those tiles of a job that still wait. The job adds no more."""
        with self._changed:
            self._batcher.forget(owner)
            return [tile for tile in tiles if self._batcher.discard(tile)]

    def close(self) -> None:
        """Stop the batch threads after the batches that run. Waiting and later tiles raise `Abandoned`.

        The end of the process does this too.
        """
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = True
            abandoned = self._batcher.clear()
            self._changed.notify_all()
        self._fail([tile for tile in abandoned if isinstance(tile, QueuedTile)], Abandoned())
        for thread in self._threads:
            thread.join()

    def _run_batches(self) -> None:
        while True:
            with self._changed:
                while not (batch := self._next_batch()):
                    if self._is_closed:
                        return
                    self._changed.wait()
                concurrent = self._running
                self._running += 1
            self._started[threading.get_ident()] = time.monotonic()
            tiles = [item for item in batch if isinstance(item, QueuedTile)]
            try:
                if tiles[0].exclusive:
                    tiles[0].started()
                self._attempt(tiles, concurrent)
            finally:
                del self._started[threading.get_ident()]
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
            del batch, tiles  # do not keep the results until the next batch

    def _next_batch(self) -> list[Item]:
        """Next batch; empty if no tile waits, or if the device already runs as many batches as it should."""
        if self._running and self._running >= self._device.parallel_batches:
            return []  # this is called again when one of them ends
        return self._batcher.take(is_idle=not self._running)

    def _attempt(self, batch: list[QueuedTile], concurrent: int) -> None:
        try:
            results = self._counter.timed(
                batch, lambda: self._device.run([item.task for item in batch], concurrent=concurrent)
            )
        except BaseException as error:
            if not is_out_of_memory(error):
                self._split(batch, concurrent, error)
                return
            no_memory = error.with_traceback(None)  # the traceback keeps the memory of the batch
        else:
            with self._changed:
                self._batcher.succeeded()
            for item, result in zip(batch, results, strict=True):
                item.result = result
                item.finished(item)
            return
        self._shrink(batch, no_memory)

    def _shrink(self, batch: list[QueuedTile], error: BaseException) -> None:
        self._device.release_memory()
        if len(batch) == 1 and batch[0].exclusive:
            self._counter.failed(1)
            self._fail(batch, error)
            return
        with self._changed:
            self._counter.out_of_memory()
            self._batcher.ran_out_of_memory(list(batch))
            # A single tile that did not fit beside others runs once more while nothing else runs.
            batch[0].exclusive = len(batch) == 1
            self._batcher.put_back(list(batch))

    def _split(self, batch: list[QueuedTile], concurrent: int, error: BaseException) -> None:
        if len(batch) == 1 or is_device_lost(error):
            self._counter.failed(len(batch))
            self._fail(batch, error)
            return
        self._counter.bisected()
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            self._attempt(half, concurrent)

    def _fail(self, tiles: Iterable[QueuedTile], error: BaseException) -> None:
        for tile in tiles:
            tile.error = error
            tile.finished(tile)
