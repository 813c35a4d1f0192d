"""GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from service.runner._batcher import BatchLimits
from service.runner._device import Pixels, Task, as_input, finished, gradient
from service.runner._network import Network, load_network
from service.store import Manifest, ModelStore


@final
class Accelerator:
    """A device with memory of its own."""

    def __init__(self, name: str) -> None:
        self._device = torch.device(name)
        is_cuda = self._device.type == "cuda"
        fast = is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        self._precision = torch.bfloat16 if fast else torch.float32

    @property
    def notes(self) -> dict[str, str]:
        """Device and precision."""
        return {"device": str(self._device), "precision": str(self._precision).removeprefix("torch.")}

    @property
    def limits(self) -> BatchLimits:
        """One tile."""
        return BatchLimits(max_items=1)

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network. Raises `BadModel`."""
        return load_network(store, manifest, key, device=self._device, precision=self._precision)

    def run(self, batch: Sequence[Task], *, beside: int) -> list[Pixels]:  # noqa: ARG002
        """Run one tile after the other."""
        return [self._run(task) for task in batch]

    def release_memory(self) -> None:
        """Empty PyTorch's cache."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, task: Task) -> Pixels:
        picture = as_input(task.pixels, self._device)
        vector = torch.from_numpy(task.condition)[None].to(self._device)
        if task.wanted is not None:
            by_pixels: Pixels = gradient(task.network, picture, vector, task.wanted)[0].cpu().numpy()
            return by_pixels
        with torch.inference_mode():
            output: Tensor = task.network.module(picture, vector)
            result: Pixels = finished(output, to_bytes=task.to_bytes)[0].cpu().numpy()
        return result
