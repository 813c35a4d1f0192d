"""The runner for one job after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import final

from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import check_deadline
from virtual_codec.runner._batcher import Item
from virtual_codec.runner._device import Device, Pixels, Processor, Task
from virtual_codec.runner._network import Network
from virtual_codec.runner._tally import BatchTally
from virtual_codec.store import Manifest, ModelStore


@final
class DirectRunner:
    """One tile after the other on one device, by default all cores; threads take turns."""

    def __init__(self, device: Device | None = None) -> None:
        self._device = device or Processor()
        self._turn = threading.Lock()
        self._tally = BatchTally()

    @property
    def notes(self) -> Mapping[str, str]:
        """Those of the device."""
        return self._device.notes

    @property
    def counts(self) -> RunnerCounts:
        """What ran since it was opened."""
        return self._tally.counts

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        return self._device.prepare(store, manifest, key)

    def close(self) -> None:
        """It has nothing of its own to end."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """The results of tiles, in their order."""
        for task in tasks:
            check_deadline()
            with self._turn:
                item = Item(key=task.key, pixels=task.pixels.shape[0] * task.pixels.shape[1], owner=None)
                [result] = self._tally.timed([item], lambda: self._device.run([task], beside=0))  # noqa: B023
            yield result
