"""GPU devices: batches, with copies in parallel to the computation."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, final

import numpy as np
import torch
from torch import Tensor

from virtual_codec.networks import keep_unfolded
from virtual_codec.runner._batcher import BatchLimits
from virtual_codec.runner._device import Pixels, Task, error_gradient, to_levels
from virtual_codec.runner._network import Network, load_network
from virtual_codec.runner._sizes import BatchSizes
from virtual_codec.store import Manifest, ModelStore

_LIMITS: Final = BatchLimits(max_items=16, max_pixels=8_000_000)
_PARALLEL_BATCHES: Final = 2  # one batch is copied while the other is computed


@final
class Accelerator:
    """Device with its own memory: pinned copies, one stream for each thread, bfloat16 if the device supports it.

    A tile's bits must not depend on its batch, but libraries choose kernels by batch size. Therefore batch sizes are
    tested for each network and shape, after `try_after` batches of it. Only sizes are used that give every tile the
    same bits as alone, and that save time.
    """

    def __init__(self, name: str, *, try_after: int = 8) -> None:
        self._device = torch.device(name)
        self._is_cuda = self._device.type == "cuda"
        fast = self._is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        self._precision = torch.bfloat16 if fast else torch.float32
        self._of_thread = threading.local()
        self._sizes = BatchSizes(_LIMITS.max_items, try_after=try_after)
        if self._is_cuda:
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False  # it chooses kernels by measurements, which differ from run to run
            torch.backends.cudnn.allow_tf32 = False

    @property
    def notes(self) -> dict[str, str]:
        """Device and precision."""
        return {"device": str(self._device), "precision": str(self._precision).removeprefix("torch.")}

    @property
    def limits(self) -> BatchLimits:
        """Limits of one call of `run`, which splits it into batches that keep every bit."""
        return _LIMITS

    @property
    def batch_threads(self) -> int:
        """Number of batches at the same time: two if copies run in parallel to the computation."""
        return _PARALLEL_BATCHES if self._is_cuda else 1

    @property
    def parallel_batches(self) -> int:
        """Number of batches at the same time, as `batch_threads`."""
        return self.batch_threads

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""
        network = load_network(store, manifest, key, device=self._device, precision=self._precision)
        keep_unfolded(network.module)  # folding would give a single tile other bits than a batch
        if self._is_cuda:
            torch.cuda.synchronize(self._device)  # the network was loaded on another stream than those that use it
        return network

    def run(self, batch: Sequence[Task], *, concurrent: int) -> list[Pixels]:  # noqa: ARG002
        """Run tiles of one key, in batches of sizes that keep every bit."""
        with self._stream():
            if batch[0].target is not None:
                return [self._gradient(task) for task in batch]
            if len(batch) == 1:
                return self._run(batch)
            network, *shape = batch[0].key
            kind = (weakref.ref(network), *shape)  # this cache must not keep a network alive
            sizes = self._sizes.sizes_for(kind, len(batch), lambda tiles: self._timed([batch[tile] for tile in tiles]))
            results: list[Pixels] = []
            for start, stop in sizes.cuts(len(batch)):
                results += self._run(batch[start:stop], size=sizes.at_least(stop - start))
            return results

    def release_memory(self) -> None:
        """Empty PyTorch's cache."""
        if self._is_cuda:
            torch.cuda.empty_cache()

    def _run(self, tasks: Sequence[Task], *, size: int = 1) -> list[Pixels]:
        """Run one batch, padded to `size` with its last tile."""
        filled = [*tasks, *[tasks[-1]] * (size - len(tasks))]
        with torch.inference_mode():
            pixels = self._to_device(np.stack([task.pixels for task in filled]))
            vectors = self._to_device(np.stack([task.condition for task in filled]))
            output: Tensor = tasks[0].network.module(pixels.permute(0, 3, 1, 2).float().div_(255), vectors)
            result = self._to_host(to_levels(output, to_bytes=tasks[0].to_bytes))
        return list(result[: len(tasks)])

    def _gradient(self, task: Task) -> Pixels:
        assert task.target is not None
        picture = self._to_device(task.pixels[None]).permute(0, 3, 1, 2).float().div_(255)
        vector = self._to_device(task.condition[None])
        by_pixels: Pixels = self._to_host(error_gradient(task.network, picture, vector, task.target))[0]
        return by_pixels

    def _timed(self, tasks: Sequence[Task]) -> tuple[list[Pixels], float]:
        """Results of tiles as one batch, and the seconds that its second run took."""
        self._run(tasks, size=len(tasks))
        started = time.perf_counter()
        results = self._run(tasks, size=len(tasks))
        return results, time.perf_counter() - started

    def _to_device(self, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.float32]]) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._is_cuda else tensor.to(self._device)

    def _to_host(self, tensor: Tensor) -> Pixels:
        if not self._is_cuda:
            return tensor.cpu().numpy()
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return pinned.numpy().copy()  # pinned memory is scarce

    def _stream(self) -> AbstractContextManager[object]:
        """Context in which all work goes to this thread's stream."""
        if not self._is_cuda:
            return contextlib.nullcontext()
        if not hasattr(self._of_thread, "stream"):
            self._of_thread.stream = torch.cuda.Stream(self._device)
        return torch.cuda.stream(self._of_thread.stream)
