"""Networks on a device: pictures in, pictures out, tile by tile."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from service.errors import BadModel
from service.networks import ColourNet, build
from service.store import Manifest, ModelStore
from service.tiles import Tile, tiles

_CORE: Final = 512  # pixels of a network's half-resolution input; larger tiles waste less on halos and gain no speed

_GRADIENT_CORE: Final = 192  # a gradient needs what every layer made: some 200 MB for a tile of that


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network ready to run. `ratio` is output over input size; see `service.networks` for the others."""

    module: nn.Module
    ratio: float
    radius: int
    multiple: int


class Runner(Protocol):
    """Runs networks; may be called from several threads."""

    @property
    def notes(self) -> Mapping[str, str]:
        """How this machine runs them, for people: device, precision."""

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""

    def run_tile(
        self, network: Network, pixels: NDArray[np.float32], condition: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """[h, w, 3] in [0, 1] and the condition -> [ratio*h, ratio*w, 3], not clipped."""

    def tile_gradient(
        self,
        network: Network,
        pixels: NDArray[np.float32],
        condition: NDArray[np.float32],
        wanted: NDArray[np.float32],
        kept: tuple[slice, slice],
    ) -> NDArray[np.float32]:
        """The derivative by `pixels` of the squared distance between the `kept` part of the output and `wanted`."""


@final
class DirectRunner:
    """One tile after the other on one device; threads take turns.

    A processor gains nothing from batches, and a batch of one makes every answer independent of its neighbours.
    """

    def __init__(self, *, device: str = "cpu", threads: int | None = None) -> None:
        self._device = torch.device(device)
        self._dtype = torch.bfloat16 if _has_fast_bfloat16(self._device) else torch.float32
        self._turn = threading.Lock()
        if threads is not None and self._device.type == "cpu":
            torch.set_num_threads(threads)

    @property
    def notes(self) -> dict[str, str]:
        """Device and precision."""
        return {"device": str(self._device), "precision": str(self._dtype).removeprefix("torch.")}

    def prepare(self, store: ModelStore, manifest: Manifest, key: str) -> Network:
        """Load a model's network onto the device. Raises `BadModel`."""
        entry = manifest.networks[key]
        module = build(entry.architecture, entry.arguments)
        colour = cast(ColourNet, module)
        try:
            module.load_state_dict(load(store.weights(manifest, key)))
        except (SafetensorError, RuntimeError) as error:
            raise BadModel(f"the weights of {manifest.name}/{key} do not fit its architecture: {error}") from error
        module.eval().requires_grad_(requires_grad=False)
        module.to(self._device, self._dtype)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        return Network(module=module, ratio=colour.ratio, radius=colour.radius, multiple=colour.multiple)

    def run_tile(
        self, network: Network, pixels: NDArray[np.float32], condition: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """[h, w, 3] in [0, 1] and the condition -> [ratio*h, ratio*w, 3], not clipped."""
        picture = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)  # channels last in memory already
        vector = torch.from_numpy(condition)[None]
        with self._turn, torch.inference_mode():
            output: Tensor = network.module(picture.to(self._device), vector.to(self._device))
            result: NDArray[np.float32] = output[0].permute(1, 2, 0).cpu().numpy()
        return result

    def tile_gradient(
        self,
        network: Network,
        pixels: NDArray[np.float32],
        condition: NDArray[np.float32],
        wanted: NDArray[np.float32],
        kept: tuple[slice, slice],
    ) -> NDArray[np.float32]:
        """The derivative by `pixels` of the squared distance between the `kept` part of the output and `wanted`."""
        picture = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(self._device).requires_grad_()
        vector = torch.from_numpy(condition)[None].to(self._device)
        target = torch.from_numpy(wanted)[None].permute(0, 3, 1, 2).to(self._device)
        with self._turn, torch.enable_grad():
            output: Tensor = network.module(picture, vector)
            error = (output[:, :, kept[0], kept[1]].float() - target).square().sum()
            (gradient,) = torch.autograd.grad(error, picture)
        result: NDArray[np.float32] = gradient[0].permute(1, 2, 0).cpu().numpy()
        return result


def run_network(
    runner: Runner, network: Network, pixels: NDArray[np.uint8], condition: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run a whole picture by tiles: [h, w, 3] bytes -> [ratio*h, ratio*w, 3] in 0 to 255, not clipped.

    h and w must be multiples of `network.multiple`.
    """
    output = np.empty((*_scaled(pixels.shape[:2], network.ratio), 3), np.float32)
    for tile in _tiles_of(network, pixels):
        output[_kept(tile, network.ratio)] = _run(runner, network, pixels, tile, condition) * np.float32(255)
    return output


def run_network_to_bytes(
    runner: Runner, network: Network, pixels: NDArray[np.uint8], condition: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """As `run_network`, rounded to bytes tile by tile: a quarter of the memory."""
    output = np.empty((*_scaled(pixels.shape[:2], network.ratio), 3), np.uint8)
    for tile in _tiles_of(network, pixels):
        restored = _run(runner, network, pixels, tile, condition)
        np.multiply(restored, 255, out=restored)
        np.rint(restored, out=restored)
        np.clip(restored, 0, 255, out=restored)
        output[_kept(tile, network.ratio)] = restored
    return output


def run_error_gradient(
    runner: Runner,
    network: Network,
    pixels: NDArray[np.uint8],
    condition: NDArray[np.float32],
    wanted: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """How the squared distance of a network's output to `wanted` moves with its input.

    Both in 0 to 255, `pixels` [h, w, 3], `wanted` [ratio*h, ratio*w, 3]; the distance is summed over samples, its
    derivative [h, w, 3]. By tiles, whose shares add up to the whole picture's.
    """
    gradient = np.zeros(pixels.shape, np.float32)
    for tile in _tiles_of(network, pixels, _GRADIENT_CORE):
        window = (slice(tile.top, tile.bottom), slice(tile.left, tile.right))
        rows, columns = _kept(tile, network.ratio)
        top, left = round(tile.top * network.ratio), round(tile.left * network.ratio)
        kept = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        share = runner.tile_gradient(
            network,
            pixels[window].astype(np.float32) / np.float32(255),
            condition,
            wanted[rows, columns].astype(np.float32) / np.float32(255),
            kept,
        )
        gradient[window] += share * np.float32(255)
    return gradient


def _run(
    runner: Runner, network: Network, pixels: NDArray[np.uint8], tile: Tile, condition: NDArray[np.float32]
) -> NDArray[np.float32]:
    window = pixels[tile.top : tile.bottom, tile.left : tile.right].astype(np.float32) / np.float32(255)
    result = runner.run_tile(network, window, condition)
    top, left = (
        round((keep - start) * network.ratio)
        for keep, start in ((tile.keep_top, tile.top), (tile.keep_left, tile.left))
    )
    height = round((tile.keep_bottom - tile.keep_top) * network.ratio)
    width = round((tile.keep_right - tile.keep_left) * network.ratio)
    return np.ascontiguousarray(result[top : top + height, left : left + width])


def _tiles_of(network: Network, pixels: NDArray[np.uint8], core: int = _CORE) -> list[Tile]:
    height, width = pixels.shape[:2]
    core *= network.multiple
    halo = -(-network.radius // network.multiple) * network.multiple
    return list(tiles(height, width, core=core, halo=halo, multiple=network.multiple))


def _kept(tile: Tile, ratio: float) -> tuple[slice, slice]:
    rows = slice(round(tile.keep_top * ratio), round(tile.keep_bottom * ratio))
    return rows, slice(round(tile.keep_left * ratio), round(tile.keep_right * ratio))


def _scaled(shape: tuple[int, ...], ratio: float) -> tuple[int, int]:
    return round(shape[0] * ratio), round(shape[1] * ratio)


def _has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed, not emulated: on processors AVX-512 BF16 or AMX, on GPUs from Ampere on."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
