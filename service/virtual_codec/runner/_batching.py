"""Batching runner: tiles of several jobs, each in a thread of its own, share the batches of one device.

job ──► tiles ─┐
job ──► tiles ─┼─► batcher ──► batch threads ──► device ──► results, each to its job
job ──► tiles ─┘
"""

from __future__ import annotations

import atexit
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import is_device_lost, is_out_of_memory
from virtual_codec.jobs import Abandoned, check_deadline
from virtual_codec.runner._batch_counter import BatchCounter
from virtual_codec.runner._batcher import Batcher, Item
from virtual_codec.runner._device import Device, Pixels, Task
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore

_POLL_S: Final = 0.1  # between checks of a waiting job for its deadline and cancellation


@dataclass(eq=False, kw_only=True)
class _PendingTile(Item):
    """Tile with its result or error to come."""

    task: Task
    done: threading.Event = field(default_factory=threading.Event)
    result: Pixels | None = None
    error: BaseException | None = None


@final
class BatchingRunner:
    """Runner that takes tiles from any number of threads and batches those of one network and shape.

    It never delays a tile to fill a batch: a free batch thread takes what waits. A batch that does not fit into memory
    halves the budget and is done again in parts; one that fails otherwise is split until only the faulty tile fails.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._batcher = Batcher(device.limits)
        self._counter = BatchCounter()
        self._changed = threading.Condition()
        self._owners = itertools.count()
        self._running = 0
        self._is_closed = False
        self._max_ahead = 1 + device.limits.max_items  # tiles of one job that wait or run: bounds its memory
        self._threads = [
            threading.Thread(target=self._run_batches, name=f"batch-{index}", daemon=True)
            for index in range(device.parallel_batches)
        ]
        for thread in self._threads:
            thread.start()
        # Python's end kills threads that are in PyTorch's C++ by unwinding it, which C++ answers with `terminate`.
        atexit.register(self.close)

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes of the device, and the largest number of tiles in a batch."""
        return {**self._device.notes, "batch": str(self._device.limits.max_items)}

    @property
    def counts(self) -> RunnerCounts:
        """Counters since it was opened, and what waits now."""
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

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        return self._device.prepare(store, manifest, key)

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """Run tiles and yield their results in order. A few run ahead of the one that is asked for.

        Raises `Abandoned` when the runner is closed.
        """
        owner = next(self._owners)
        pending: deque[_PendingTile] = deque()
        try:
            for task in tasks:
                check_deadline()
                pending.append(self._add(task, owner))
                if len(pending) > self._max_ahead:
                    yield _awaited(pending[0])
                    pending.popleft()
            while pending:
                yield _awaited(pending[0])
                pending.popleft()
        finally:
            with self._changed:
                for tile in pending:
                    self._batcher.discard(tile)
                self._batcher.forget(owner)

    def close(self) -> None:
        """Stop the batch threads after the batches that run. Waiting and later tiles raise `Abandoned`.

        The end of the process does this too.
        """
        atexit.unregister(self.close)
        with self._changed:
            self._is_closed = True
            for item in self._batcher.clear():
                assert isinstance(item, _PendingTile)
                item.error = Abandoned()
                item.done.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _add(self, task: Task, owner: int) -> _PendingTile:
        tile = _PendingTile(key=task.key, pixels=task.pixels.shape[0] * task.pixels.shape[1], owner=owner, task=task)
        with self._changed:
            if self._is_closed:
                raise Abandoned
            self._batcher.add(tile)
            self._changed.notify()
        return tile

    def _run_batches(self) -> None:
        while True:
            with self._changed:
                while not (batch := self._batcher.take(is_idle=not self._running)):
                    if self._is_closed:
                        return
                    self._changed.wait()
                concurrent = self._running
                self._running += 1
            try:
                self._attempt([item for item in batch if isinstance(item, _PendingTile)], concurrent)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
            del batch  # its results are not kept until the next one comes

    def _attempt(self, batch: list[_PendingTile], concurrent: int) -> None:
        try:
            results = self._counter.timed(
                batch, lambda: self._device.run([item.task for item in batch], concurrent=concurrent)
            )
        except BaseException as error:
            if not is_out_of_memory(error):
                self._split(batch, concurrent, error)
                return
            no_memory = error.with_traceback(None)  # which holds what the batch had
        else:
            with self._changed:
                self._batcher.succeeded()
            for item, result in zip(batch, results, strict=True):
                item.result = result
                item.done.set()
            return
        self._shrink(batch, no_memory)

    def _shrink(self, batch: list[_PendingTile], error: BaseException) -> None:
        self._device.release_memory()
        if len(batch) == 1 and batch[0].exclusive:
            self._fail(batch, error)
            return
        with self._changed:
            self._counter.out_of_memory()
            self._batcher.ran_out_of_memory(list(batch))
            batch[0].exclusive = len(batch) == 1  # it did not fit beside others: once more while nothing else runs
            self._batcher.put_back(list(batch))

    def _split(self, batch: list[_PendingTile], concurrent: int, error: BaseException) -> None:
        if len(batch) == 1 or is_device_lost(error):
            self._fail(batch, error)
            return
        self._counter.bisected()
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            self._attempt(half, concurrent)

    def _fail(self, batch: list[_PendingTile], error: BaseException) -> None:
        self._counter.failed(len(batch))
        for item in batch:
            item.error = error
            item.done.set()


def _awaited(tile: _PendingTile) -> Pixels:
    while not tile.done.wait(_POLL_S):
        check_deadline()
    if tile.error is not None:
        raise tile.error
    assert tile.result is not None
    return tile.result
