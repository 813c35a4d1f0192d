"""Batching runner: tiles of several jobs, each in its own thread, share the batches of one device.

job ──► tiles ─┐
job ──► tiles ─┼─► batch queue ──► device ──► results, each to its job
job ──► tiles ─┘
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import check_deadline
from virtual_codec.runner._batch_queue import BatchQueue, QueuedTile
from virtual_codec.runner._device import Device, Pixels, Task
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore

_POLL_S: Final = 0.1  # seconds between a waiting job's checks of its deadline and cancellation


@final
class _AwaitedTile:
    """Tile of a job that waits for its result."""

    def __init__(self, task: Task, owner: int) -> None:
        self._is_finished = threading.Event()
        self.queued = QueuedTile.of(task, owner, lambda _: self._is_finished.set())

    def result(self) -> Pixels:
        """Wait for the result. Raises the tile's error, and the errors of `check_deadline`."""
        while not self._is_finished.wait(_POLL_S):
            check_deadline()
        if self.queued.error is not None:
            raise self.queued.error
        assert self.queued.result is not None
        return self.queued.result


@final
class BatchingRunner:
    """Runner that takes tiles from any number of threads and batches those of one network and shape.

    `BatchQueue` describes the batching.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._queue = BatchQueue(device)
        self._owners = itertools.count()
        self._max_ahead = 1 + device.limits.max_items  # tiles of a job in progress at once: bounds its memory

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes of the device, and the largest number of tiles in a batch."""
        return {**self._device.notes, "batch": str(self._device.limits.max_items)}

    @property
    def counts(self) -> RunnerCounts:
        """Counters since it was opened, and the waiting tiles."""
        return self._queue.counts

    @property
    def owners(self) -> int:
        """Number of jobs that have tiles here."""
        return self._queue.owners

    @property
    def running(self) -> int:
        """Number of batches that run now."""
        return self._queue.running

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        return self._device.prepare(store, manifest, key)

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """Run tiles and yield their results in order. A few tiles run ahead of the requested one.

        Raises `Abandoned` when the runner is closed.
        """
        owner = next(self._owners)
        pending: deque[_AwaitedTile] = deque()
        try:
            for task in tasks:
                check_deadline()
                tile = _AwaitedTile(task, owner)
                self._queue.add(tile.queued)
                pending.append(tile)
                if len(pending) > self._max_ahead:
                    yield pending[0].result()
                    pending.popleft()
            while pending:
                yield pending[0].result()
                pending.popleft()
        finally:
            self._queue.forget(owner, [tile.queued for tile in pending])

    def close(self) -> None:
        """Stop the batch threads after the batches that run. Waiting and later tiles raise `Abandoned`.

        The end of the process does this too.
        """
        self._queue.close()
