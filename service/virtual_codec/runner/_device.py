"""Where networks run: batches of tiles in, their results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from virtual_codec.cores import usable_cores
from virtual_codec.memory import keep_freed_memory
from virtual_codec.runner._batcher import BatchLimits
from virtual_codec.runner._network import Network, load_network
from virtual_codec.store import Manifest, ModelStore

Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """What a part of a tile's output should have been: `rows` and `columns` of it, and the [h, w, 3] bytes there."""

    rows: slice
    columns: slice
    pixels: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A tile to run: [h, w, 3] bytes and a condition -> [ratio*h, ratio*w, 3] in 0 to 255.

    Bytes where `to_bytes`, otherwise floats that are not clipped. With `wanted` the result is another: [h, w, 3], the
    derivative by the tile's pixels of the squared distance between that part of the output and what was wanted.
    """

    network: Network
    pixels: NDArray[np.uint8] = field(repr=False)
    condition: NDArray[np.float32] = field(repr=False)
    to_bytes: bool = False
    wanted: Wanted | None = None

    @property
    def key(self) -> tuple[Network, tuple[int, ...], bool, bool]:
        """What tiles of one batch have in common."""
        return self.network, self.pixels.shape, self.to_bytes, self.wanted is not None


class Device(Protocol):
    """Runs batches; may be called from `slots` threads at a time."""

    @property
    def notes(self) -> Mapping[str, str]:
        """How it runs them, for people."""

    @property
    def limits(self) -> BatchLimits:
        """How much it takes at once. A tile's result is the same, to the bit, in every batch within them."""

    @property
    def slots(self) -> int:
        """How many batches it works on at a time."""

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""

    def run(self, batch: Sequence[Task], *, beside: int) -> list[Pixels]:
        """Run tiles of one key, while `beside` other batches run. Raises `torch.OutOfMemoryError`."""

    def release_memory(self) -> None:
        """Give back what is only kept for later: memory has run out."""


@final
class Processor:
    """The cores of this machine, `threads` of them.

    A batch is one tile: a network alone with one tile folds the condition into its weights, which is worth more than
    any batch, and gives every tile the same bits whatever runs beside it. Cores are shared between the tiles that run
    at the moment: one tile gets all of them, and as soon as there are enough tiles each gets a core, which spares the
    cores waiting for each other. The number of cores changes no bit of the result.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        keep_freed_memory()
        self._threads = threads or min(torch.get_num_threads(), usable_cores())
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
    def slots(self) -> int:
        """As many tiles as there are cores."""
        return self._threads

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""
        return load_network(store, manifest, key, device=self._device, precision=self._precision)

    def run(self, batch: Sequence[Task], *, beside: int) -> list[Pixels]:
        """Run one tile, with the cores that `beside` others leave."""
        torch.set_num_threads(max(1, self._threads // (beside + 1)))  # PyTorch keeps it by thread
        try:
            return [self._run(task) for task in batch]
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
        raise torch.OutOfMemoryError("no memory for a tile")  # outside, since the traceback holds what there is

    def release_memory(self) -> None:
        """Nothing to give back."""

    def _run(self, task: Task) -> Pixels:
        vector = torch.from_numpy(task.condition)[None]
        if task.wanted is not None:
            by_pixels: Pixels = gradient(task.network, as_input(task.pixels), vector, task.wanted)[0].numpy()
            return by_pixels
        with torch.inference_mode():
            output: Tensor = task.network.module(as_input(task.pixels), vector)
            result: Pixels = finished(output, to_bytes=task.to_bytes)[0].numpy()
        return result


def as_input(pixels: NDArray[np.uint8], device: torch.device | None = None) -> Tensor:
    """A picture as networks take it: [h, w, 3] bytes -> [1, 3, h, w] in 0 to 1, channels last in memory."""
    picture = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(device)
    return picture.float().div_(255)


def finished(output: Tensor, *, to_bytes: bool) -> Tensor:
    """A network's output as it is wanted: [B, 3, h, w] about 0 to 1 -> [B, h, w, 3] in 0 to 255."""
    levels = output.permute(0, 2, 3, 1).float() * 255
    if to_bytes:
        return levels.round_().clamp_(0, 255).to(torch.uint8).contiguous()
    return levels.contiguous()


def gradient(network: Network, picture: Tensor, vector: Tensor, wanted: Wanted) -> Tensor:
    """The derivative that `Task` tells of: [1, 3, h, w] and [1, K] -> [1, h, w, 3]."""
    target = as_input(wanted.pixels, picture.device)
    with torch.enable_grad():
        output: Tensor = network.module(picture.requires_grad_(), vector)
        error = (output[:, :, wanted.rows, wanted.columns].float() - target).square().sum()
        (by_pixels,) = torch.autograd.grad(error, picture)
    return by_pixels.permute(0, 2, 3, 1).mul(255).contiguous()


def _has_fast_bfloat16() -> bool:
    """Whether bfloat16 is computed, not emulated: AVX-512 BF16 or AMX."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
