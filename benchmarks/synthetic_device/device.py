"""Synthetic device with a known time for each batch, which repeats pixels instead of running a network."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import numpy as np
import torch

from virtual_codec.codec import VirtualCodec
from virtual_codec.images import ImageLimits
from virtual_codec.runner import (
    BatchingRunner,
    BatchLimits,
    Network,
    Pixels,
    Processor,
    Runner,
    Task,
)
from virtual_codec.runner.device_process import DeviceProcess
from virtual_codec.runner.remote import RemoteRunner
from virtual_codec.store import Manifest, ModelStore

_LIMITS: Final = BatchLimits(max_items=64, max_pixels=2**40)


@final
class SyntheticDevice:
    """Device that takes `batch_s` seconds for a batch of any size, one batch at a time. 0 is infinitely fast.

    A result is the tile with its pixels repeated or skipped, so it costs next to no processor time. Devices of several
    processes are one where they have the same file `turn`, which who computes locks.
    """

    def __init__(
        self, batch_s: float, *, turn: Path | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._batch_s = batch_s
        self._sleep = sleep
        self._turn = None if turn is None else turn.open("wb")
        self._processor = Processor(threads=1)

    @property
    def notes(self) -> dict[str, str]:
        """Name of the device."""
        return {"device": f"synthetic, {1000 * self._batch_s:g} ms a batch"}

    @property
    def limits(self) -> BatchLimits:
        """Limits that no batch of this benchmark reaches."""
        return _LIMITS

    @property
    def batch_threads(self) -> int:
        """One batch at a time."""
        return 1

    @property
    def parallel_batches(self) -> int:
        """One batch at a time."""
        return 1

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network, for its ratio and halo. Raises `BadModel`."""
        return self._processor.prepare(store, manifest, key)

    def run(self, batch: Sequence[Task], *, concurrent: int) -> list[Pixels]:  # noqa: ARG002
        """Wait for the time of the batch, and repeat pixels."""
        if self._batch_s:
            with self._alone():
                self._sleep(self._batch_s)
        return [_resized(task) for task in batch]

    def release_memory(self) -> None:
        """Do nothing: no memory is cached."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)


def open_synthetic(
    *,
    store: Path,
    device: str,
    batch_ms: float,
    turn: Path | None = None,
    device_process: Path | None = None,
    limits: ImageLimits | None = None,
    model: str | None = None,
) -> VirtualCodec:
    """Worker factory: codec around a synthetic device, without the warm-up, whose model check would fail."""
    del device
    torch.set_num_threads(1)
    runner: Runner
    if device_process is None:
        runner = BatchingRunner(SyntheticDevice(batch_ms / 1000, turn=turn))
    else:
        runner = RemoteRunner(device_process)
    return VirtualCodec(ModelStore(store, default=model, tolerant=True), runner, limits=limits)


def open_synthetic_process(
    *, store: Path, batch_ms: float, device_process: Path, model: str | None = None, **_: object
) -> DeviceProcess:
    """Factory of the device process with a synthetic device."""
    return DeviceProcess(SyntheticDevice(batch_ms / 1000), store, device_process, model)


def _resized(task: Task) -> Pixels:
    if task.target is not None:
        return np.zeros(task.pixels.shape, np.float32)
    pixels, ratio = task.pixels, task.network.ratio
    if ratio >= 1:
        pixels = pixels.repeat(round(ratio), axis=0).repeat(round(ratio), axis=1)
    else:
        pixels = pixels[:: round(1 / ratio), :: round(1 / ratio)]
    return np.ascontiguousarray(pixels) if task.to_bytes else pixels.astype(np.float32)
