"""Devices that run networks on batches of tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from virtual_codec.core_shares import CoreShares
from virtual_codec.cores import usable_cores
from virtual_codec.errors import is_out_of_memory
from virtual_codec.memory import keep_freed_memory
from virtual_codec.runner._batcher import BatchLimits
from virtual_codec.runner._network import Network, load_network
from virtual_codec.store import Manifest, ModelStore

Pixels = NDArray[np.uint8] | NDArray[np.float32]

# Pixels of a tile from which threads share it. PyTorch's convolutions depend on the number of threads up to 6,720
# pixels: of 1,479 random sizes up to 312x312, with up to 16 threads, 181 did, none above.
_MIN_SHARED_PIXELS: Final = 8192
_ALL_THREADS: Final = torch.get_num_threads()  # read once: threads with a setting of their own change PyTorch's default


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientTarget:
    """Target for a part of a tile's output: its `rows` and `columns`, and its target pixels, [h, w, 3] bytes."""

    rows: slice
    columns: slice
    pixels: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Tile to run: [h, w, 3] bytes and a condition -> [ratio*h, ratio*w, 3] in 0 to 255.

    The result has bytes if `to_bytes`, otherwise floats that are not clipped. With a `target` it is [h, w, 3]: the
    gradient, with respect to the tile's pixels, of the squared error between that part of the output and the target.
    """

    network: Network
    pixels: NDArray[np.uint8] = field(repr=False)
    condition: NDArray[np.float32] = field(repr=False)
    to_bytes: bool = False
    target: GradientTarget | None = None

    @property
    def key(self) -> tuple[Network, tuple[int, ...], bool, bool]:
        """Key that the tiles of one batch share."""
        return self.network, self.pixels.shape, self.to_bytes, self.target is not None


class Device(Protocol):
    """Executor of batches; may be called from `batch_threads` threads at the same time."""

    @property
    def notes(self) -> Mapping[str, str]:
        """Device and precision, for people."""

    @property
    def limits(self) -> BatchLimits:
        """Limits of one batch. A tile's result is the same, to the bit, in every batch within them."""

    @property
    def batch_threads(self) -> int:
        """Largest number of batches that it ever runs at the same time."""

    @property
    def parallel_batches(self) -> int:
        """Number of batches that it may run at the same time now."""

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""

    def run(self, batch: Sequence[Task], *, concurrent: int) -> list[Pixels]:
        """Run tiles of one key, while `concurrent` other batches run. Raises `torch.OutOfMemoryError`."""

    def release_memory(self) -> None:
        """Release cached memory, because memory has run out."""


@final
class Processor:
    """CPU device: `threads` cores of this machine.

    A batch is one tile. For one tile a network folds the condition into its weights, which gains more than any batch,
    and every tile gets the same bits whatever runs beside it. Cores are divided between the running tiles: a single
    tile uses all of them, and with enough tiles each uses one, which avoids synchronisation. The number of cores
    changes no bit of the result. If several processes share the cores, `shares` says how many this one may use at the
    moment.
    """

    def __init__(self, *, threads: int | None = None, shares: CoreShares | None = None) -> None:
        keep_freed_memory()
        self._shares = shares
        self._threads = threads or (shares.total if shares else min(_ALL_THREADS, usable_cores()))
        self._device = torch.device("cpu")
        self._precision = torch.bfloat16 if _has_fast_bfloat16() else torch.float32
        torch.set_num_threads(self._threads)

    @property
    def notes(self) -> dict[str, str]:
        """Device, precision and cores."""
        return {
            "device": "cpu",
            "precision": str(self._precision).removeprefix("torch."),
            "cores": str(self._threads),
        }

    @property
    def limits(self) -> BatchLimits:
        """One tile."""
        return BatchLimits(max_items=1)

    @property
    def batch_threads(self) -> int:
        """Number of cores."""
        return self._threads

    @property
    def parallel_batches(self) -> int:
        """Number of cores that this process may use now."""
        return min(self._threads, self._shares.usable) if self._shares else self._threads

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""
        return load_network(store, manifest, key, device=self._device, precision=self._precision)

    def run(self, batch: Sequence[Task], *, concurrent: int) -> list[Pixels]:
        """Run one tile on the cores that `concurrent` others leave; a small one always on one core."""
        pixels = max(task.pixels.shape[0] * task.pixels.shape[1] for task in batch)
        threads = 1 if pixels < _MIN_SHARED_PIXELS else max(1, self.parallel_batches // (concurrent + 1))
        torch.set_num_threads(threads)  # a setting for each thread
        try:
            return [self._run(task) for task in batch]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, because the traceback keeps the memory.
        raise torch.OutOfMemoryError("no memory for a tile")

    def release_memory(self) -> None:
        """Do nothing: no memory is cached."""

    def _run(self, task: Task) -> Pixels:
        vector = torch.from_numpy(task.condition)[None]
        if task.target is not None:
            by_pixels: Pixels = error_gradient(task.network, to_input(task.pixels), vector, task.target)[0].numpy()
            return by_pixels
        with torch.inference_mode():
            output: Tensor = task.network.module(to_input(task.pixels), vector)
            result: Pixels = to_levels(output, to_bytes=task.to_bytes)[0].numpy()
        return result


def to_input(pixels: NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """Convert a picture to a network input: [h, w, 3] bytes -> [1, 3, h, w] in 0 to 1, channels last in memory."""
    picture = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(device)
    return picture.float().div_(255)


def to_levels(output: Tensor, *, to_bytes: bool) -> Tensor:
    """Convert a network output to levels: [B, 3, h, w] about 0 to 1 -> [B, h, w, 3] in 0 to 255."""
    levels = output.permute(0, 2, 3, 1).float() * 255
    if to_bytes:
        return levels.round_().clamp_(0, 255).to(torch.uint8).contiguous()
    return levels.contiguous()


def error_gradient(network: Network, picture: Tensor, vector: Tensor, target: GradientTarget) -> Tensor:
    """Gradient of the squared error, as `Task` defines it: [1, 3, h, w] and [1, K] -> [1, h, w, 3]."""
    expected = to_input(target.pixels, picture.device)
    with torch.enable_grad():
        output: Tensor = network.module(picture.requires_grad_(), vector)
        error = (output[:, :, target.rows, target.columns].float() - expected).square().sum()
        (by_pixels,) = torch.autograd.grad(error, picture)
    return by_pixels.permute(0, 2, 3, 1).mul(255).contiguous()


def _has_fast_bfloat16() -> bool:
    """True if the processor supports bfloat16 in hardware: AVX-512 BF16 or AMX."""
    if not hasattr(torch.cpu, "get_capabilities"):  # as in PyTorch 2.11
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
