"""Fake device: it adds one to every pixel, and fails where it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import nn

from virtual_codec.runner import BatchLimits, Network, Pixels, Task
from virtual_codec.store import Manifest, ModelStore

NETWORK = Network(module=nn.Identity(), ratio=1, radius=0, multiple=1, stride=1)
POISON = 200


@final
class ObedientDevice:
    """Device that records its batches. `gate` holds every batch until set; a tile of 200s fails its batch."""

    def __init__(self, *, max_items: int = 4, parallel_batches: int = 1, memory_pixels: int = 10**9) -> None:
        self.limits = BatchLimits(max_items=max_items, max_pixels=10**6)
        self.batch_threads = self.parallel_batches = parallel_batches
        self.notes = {"device": "obedient"}
        self.batches: list[list[int]] = []
        self.memory_pixels = memory_pixels
        self.most_pixels = 0
        self.releases = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: Callable[[], Exception] = lambda: ZeroDivisionError("as told")
        self._pixels = 0
        self._lock = threading.Lock()

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        raise AssertionError("these tests bring their network")

    def run(self, batch: Sequence[Task], *, concurrent: int) -> list[Pixels]:
        pixels = sum(task.pixels.size // 3 for task in batch)
        with self._lock:
            self.batches.append([int(task.pixels[0, 0, 0]) for task in batch])
            self._pixels += pixels
            in_use = self._pixels
        try:
            self.gate.wait()
            if in_use > self.memory_pixels:
                raise torch.OutOfMemoryError(f"{in_use} pixels")
            self.most_pixels = max(self.most_pixels, in_use)
            if any((task.pixels == POISON).all() for task in batch):
                raise self.error()
            return [task.pixels + np.uint8(1) for task in batch]
        finally:
            with self._lock:
                self._pixels -= pixels

    def release_memory(self) -> None:
        self.releases += 1


def tile(value: int, side: int = 4) -> Task:
    return Task(
        network=NETWORK,
        pixels=np.full((side, side, 3), value, np.uint8),
        condition=np.zeros(1, np.float32),
        to_bytes=True,
    )
