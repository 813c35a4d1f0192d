"""Remote runner: tiles run in the device process, through shared memory.

job ──► tiles ─┐                                    ┌─► batch queue ──► device
job ──► tiles ─┼─► link, blocks of shared memory ───┘
job ──► tiles ─┘
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor, nn

from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import Abandoned, check_deadline
from virtual_codec.runner._device import Pixels, Task
from virtual_codec.runner._network import Network
from virtual_codec.runner._remote_tiles import RemoteTile, RemoteTiles
from virtual_codec.store import Manifest, ModelStore

_POLL_S: Final = 0.1  # seconds between a waiting job's checks of its deadline and cancellation
_MAX_AHEAD_BYTES: Final = 256 * 2**20  # bytes of shared memory in use above which a job first waits for its own tiles


@final
class RemoteModule(nn.Module):
    """Placeholder for the module of a number in the device process."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, *_: Tensor) -> Tensor:
        """Raise `NotImplementedError`: the module runs in the device process."""
        raise NotImplementedError("this network runs in the device process")


@final
class RemoteRunner:
    """Runner of tiles in the device process that listens at `path`. Waits until that process is ready.

    If the process ends, waiting tiles are sent to its successor, where each runs alone. A tile that ends two processes
    while running alone raises `DeviceLost`.
    """

    def __init__(self, path: Path) -> None:
        torch.set_num_threads(1)  # for other computations of the codecs; processes divide the cores
        self._tiles = RemoteTiles(path)
        self._owners = itertools.count()
        self._network_numbers = itertools.count()
        self._tiles.wait_until_open()

    @property
    def notes(self) -> Mapping[str, str]:
        """Notes of the device, and the largest number of tiles in a batch."""
        return self._tiles.notes

    @property
    def counts(self) -> RunnerCounts:
        """No counters: the device process counts the batches."""
        return RunnerCounts()

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:  # noqa: ARG002
        """Load a model's network in the device process, from its own store.

        Raises `BadModel`, and `torch.OutOfMemoryError` if there is no memory for the network.
        """
        number = next(self._network_numbers)
        opening = self._tiles.open_network(number, manifest.id, key)
        try:
            while not opening.is_answered.wait(_POLL_S):
                check_deadline()
            if opening.error is not None:
                raise opening.error
        except BaseException:
            self._tiles.close_network(number)
            raise
        network = Network(
            module=RemoteModule(number),
            ratio=opening.ratio,
            radius=opening.radius,
            multiple=opening.multiple,
            stride=opening.stride,
        )
        weakref.finalize(network, self._tiles.close_network, number)
        return network

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """Run tiles and yield their results in order. A result is valid until the next one is requested.

        Raises `Abandoned` when the runner is closed.
        """
        owner = next(self._owners)
        pending: deque[RemoteTile] = deque()
        try:
            for task in tasks:
                check_deadline()
                while pending and (len(pending) > self._tiles.max_ahead or self._tiles.bytes_in_use > _MAX_AHEAD_BYTES):
                    yield from self._first_result(pending)
                assert isinstance(task.network.module, RemoteModule)
                pending.append(self._tiles.add(task, task.network.module.number, owner))
            while pending:
                yield from self._first_result(pending)
        finally:
            self._tiles.forget(owner, pending)

    def close(self) -> None:
        """End the link. Waiting and later tiles raise `Abandoned`."""
        self._tiles.close()

    def _first_result(self, pending: deque[RemoteTile]) -> Iterator[Pixels]:
        tile = pending[0]
        while not tile.is_finished.wait(_POLL_S):
            check_deadline()
        if self._tiles.is_closed:
            raise Abandoned
        if tile.error is not None:
            raise tile.error
        yield tile.block.result(tile.shape)
        self._tiles.release(pending.popleft())
