"""Direct runner: runs one tile after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import final

from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import check_deadline
from virtual_codec.runner._batch_counter import BatchCounter
from virtual_codec.runner._batcher import Item
from virtual_codec.runner._device import Device, Pixels, Processor, Task
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore


@final
class DirectRunner:
    """Runner of one tile after the other on one device, by default all CPU cores. Threads take turns."""

    def __init__(self, device: Device | None = None) -> None:
        self._device = device or Processor()
        self._turn = threading.Lock()
        self._counter = BatchCounter()

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes of the device."""
        return self._device.notes

    @property
    def counts(self) -> RunnerCounts:
        """Counters since it was opened."""
        return self._counter.counts

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        return self._device.prepare(store, manifest, key)

    def close(self) -> None:
        """Do nothing: it has no threads of its own."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """Run tiles and yield their results in order."""
        for task in tasks:
            check_deadline()
            with self._turn:
                item = Item(key=task.key, pixels=task.pixels.shape[0] * task.pixels.shape[1], owner=None)
                [result] = self._counter.timed([item], lambda: self._device.run([task], concurrent=0))  # noqa: B023
            yield result
