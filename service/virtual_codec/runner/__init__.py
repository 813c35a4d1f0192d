"""Runners: execution of networks on a device by tiles, from whole pictures to whole pictures.

    picture ──► tiles ──► Runner (direct, batching, or remote) ──► Device ──► tiles ──► picture

`VirtualCodec` does not know which runner it has. A new kind of device is one module and one row in `DEVICES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from virtual_codec.core_shares import CoreShares
from virtual_codec.counts import RunnerCounts
from virtual_codec.progress import report_progress
from virtual_codec.runner._accelerator import Accelerator
from virtual_codec.runner._batcher import BatchLimits
from virtual_codec.runner._batching import BatchingRunner
from virtual_codec.runner._device import Device, GradientTarget, Pixels, Processor, Task
from virtual_codec.runner._direct import DirectRunner
from virtual_codec.runner._network import Network
from virtual_codec.store import Manifest, ModelStore
from virtual_codec.tiles import Tile, tiles

__all__ = [
    "DEVICES",
    "BatchLimits",
    "BatchingRunner",
    "Device",
    "DirectRunner",
    "GradientTarget",
    "Network",
    "Pixels",
    "Processor",
    "Runner",
    "Task",
    "open_device",
    "open_runner",
    "run_error_gradient",
    "run_network",
    "run_network_to_bytes",
    "tiles_of",
]

_CORE: Final = 512  # side of a tile's core, in features of the finest level; larger tiles are not faster
_GRADIENT_CORE: Final = 192  # smaller, because a gradient keeps the output of every layer: some 200 MB for this size


class Runner(Protocol):
    """Executor of tiles; may be called from several threads."""

    @property
    def notes(self) -> Mapping[str, str]:
        """Device and precision, as text."""

    @property
    def counts(self) -> RunnerCounts:
        """Counters since it was opened."""

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Pixels]:
        """Run tiles and yield their results in order. A result is valid until the next one is requested.

        Raises the errors of `virtual_codec.jobs.check_deadline`.
        """

    def close(self) -> None:
        """Stop the runner's threads. It can run nothing afterwards."""


def open_device(name: str, *, threads: int | None = None, shares: CoreShares | None = None) -> Device:
    """Open the device of a name such as "cpu" or "cuda:0".

    `threads` is the number of cores of "cpu", None for all. `shares` divides the cores between processes.
    """
    kind = name.partition(":")[0]
    return DEVICES.get(kind, _accelerator)(name, threads, shares)


def open_runner(
    device: str, *, threads: int | None = None, shares: CoreShares | None = None, device_process: Path | None = None
) -> Runner:
    """Open a runner for jobs in several threads.

    With `device_process`, the socket of a device process (`virtual_codec.runner.device_process`), tiles are sent there;
    otherwise the device is opened in this process, as by `open_device`.
    """
    if device_process is not None:
        from virtual_codec.runner.remote import RemoteRunner  # sealed shared memory: Linux only

        return RemoteRunner(device_process)
    return BatchingRunner(open_device(device, threads=threads, shares=shares))


def run_network(
    runner: Runner,
    network: Network,
    pixels: NDArray[np.uint8],
    condition: NDArray[np.float32],
    *,
    core: int = _CORE,
) -> NDArray[np.float32]:
    """Run a whole picture by tiles: [h, w, 3] bytes -> [ratio*h, ratio*w, 3] in 0 to 255, not clipped.

    h and w must be multiples of `network.multiple`. The core of a tile has about `core` features of the finest level on
    a side.
    """
    output = np.empty((*_scaled_size(pixels.shape[:2], network.ratio), 3), np.float32)
    _run_tiles(runner, network, pixels, condition, core, output)
    return output


def run_network_to_bytes(
    runner: Runner,
    network: Network,
    pixels: NDArray[np.uint8],
    condition: NDArray[np.float32],
    *,
    core: int = _CORE,
) -> NDArray[np.uint8]:
    """Run a whole picture like `run_network`, with each tile rounded to bytes, in a quarter of the memory."""
    output = np.empty((*_scaled_size(pixels.shape[:2], network.ratio), 3), np.uint8)
    _run_tiles(runner, network, pixels, condition, core, output)
    return output


def run_error_gradient(
    runner: Runner,
    network: Network,
    pixels: NDArray[np.uint8],
    condition: NDArray[np.float32],
    target: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Gradient of the squared error between a network's output and `target`, with respect to the input: [h, w, 3].

    `pixels` is [h, w, 3] and `target` [ratio*h, ratio*w, 3], both in 0 to 255. The error is summed over samples. The
    gradients of tiles add up to that of the whole picture.
    """
    total = np.zeros(pixels.shape, np.float32)
    cut = tiles_of(network, (pixels.shape[0], pixels.shape[1]), _GRADIENT_CORE)
    tasks = (_task(network, pixels, tile, condition, target=_target(tile, network.ratio, target)) for tile in cut)
    for done, (tile, share) in enumerate(zip(cut, runner.run(tasks), strict=True), start=1):
        total[tile.top : tile.bottom, tile.left : tile.right] += share
        report_progress(done, len(cut))
    return total


def _run_tiles(
    runner: Runner,
    network: Network,
    pixels: NDArray[np.uint8],
    condition: NDArray[np.float32],
    core: int,
    output: NDArray[np.uint8] | NDArray[np.float32],
) -> None:
    cut = tiles_of(network, (pixels.shape[0], pixels.shape[1]), core)
    to_bytes = output.dtype == np.uint8
    tasks = (_task(network, pixels, tile, condition, to_bytes=to_bytes) for tile in cut)
    for done, (tile, result) in enumerate(zip(cut, runner.run(tasks), strict=True), start=1):
        output[_kept_output(tile, network.ratio)] = result[_kept_part_of_result(tile, network.ratio)]
        report_progress(done, len(cut))


def _task(
    network: Network,
    pixels: NDArray[np.uint8],
    tile: Tile,
    condition: NDArray[np.float32],
    *,
    to_bytes: bool = False,
    target: GradientTarget | None = None,
) -> Task:
    window = pixels[tile.top : tile.bottom, tile.left : tile.right].copy()  # PyTorch needs a writable array
    return Task(network=network, pixels=window, condition=condition, to_bytes=to_bytes, target=target)


def _target(tile: Tile, ratio: float, pixels: NDArray[np.uint8]) -> GradientTarget:
    rows, columns = _kept_part_of_result(tile, ratio)
    return GradientTarget(rows=rows, columns=columns, pixels=pixels[_kept_output(tile, ratio)].copy())


def tiles_of(network: Network, size: tuple[int, int], core: int) -> list[Tile]:
    """Tiles of a picture of `size` (height, width), with cores of about `core` features of the finest level on a side.

    In pixels of the network's input, that is `core * network.stride`, rounded up to the multiple.
    """
    height, width = size
    halo = -(-network.radius // network.multiple) * network.multiple
    return list(tiles(height, width, core=core * network.stride, halo=halo, multiple=network.multiple))


def _kept_output(tile: Tile, ratio: float) -> tuple[slice, slice]:
    rows = slice(round(tile.keep_top * ratio), round(tile.keep_bottom * ratio))
    return rows, slice(round(tile.keep_left * ratio), round(tile.keep_right * ratio))


def _kept_part_of_result(tile: Tile, ratio: float) -> tuple[slice, slice]:
    top, left = round((tile.keep_top - tile.top) * ratio), round((tile.keep_left - tile.left) * ratio)
    rows, columns = _kept_output(tile, ratio)
    return slice(top, top + rows.stop - rows.start), slice(left, left + columns.stop - columns.start)


def _scaled_size(shape: tuple[int, ...], ratio: float) -> tuple[int, int]:
    return round(shape[0] * ratio), round(shape[1] * ratio)


def _processor(_name: str, threads: int | None, shares: CoreShares | None) -> Device:
    return Processor(threads=threads, shares=shares)


def _accelerator(name: str, _threads: int | None, _shares: CoreShares | None) -> Device:
    return Accelerator(name)


DEVICES: Final[dict[str, Callable[[str, int | None, CoreShares | None], Device]]] = {
    "cpu": _processor,
    "cuda": _accelerator,
}
