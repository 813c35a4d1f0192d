"""Bare networks: images per second of a model's networks on a device, without codec and service."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from virtual_codec.codec import open_codec
from virtual_codec.jobs import CompressOptions, RestoreOptions
from virtual_codec.load_test import synthetic_png
from virtual_codec.networks import build
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.store import ModelStore

_LEVELS: Final = 255


@dataclass(frozen=True, kw_only=True)
class NetworkSpeed:
    """Speed of a network with batches of one size. `images_per_s` counts images of the full size."""

    network: str
    side: int
    batch: int
    images_per_s: float

    @property
    def megapixels_per_s(self) -> float:
        """Megapixels of full-size images per second."""
        return self.images_per_s * self.side**2 / 1e6


def network_speeds(root: Path, device: str, sides: list[int], batches: list[int], seconds: float) -> list[NetworkSpeed]:
    """Speeds of all networks of a store's default model, in float32 on a CPU, else in bfloat16."""
    store = ModelStore(root, tolerant=True)
    place = torch.device(device)
    precision = torch.bfloat16 if place.type == "cuda" else torch.float32
    speeds = []
    for key, entry in store.default.networks.items():
        network = build(entry.architecture, entry.arguments).to(place, precision).eval()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shrunk = int(key[-1]) if key.startswith("postprocess") else 1
        for side in sides:
            for batch in batches:
                pictures = torch.rand(batch, 3, side // shrunk, side // shrunk, device=place, dtype=precision)
                pictures = pictures.contiguous(memory_format=torch.channels_last)
                vector = torch.zeros(batch, CONDITION_SIZE, device=place, dtype=precision)
                runs = _runs_per_s(lambda net=network, x=pictures, c=vector: net(x, c), place, seconds)  # type: ignore[misc]
                speeds.append(NetworkSpeed(network=key, side=side, batch=batch, images_per_s=batch * runs))
    return speeds


def largest_difference(root: Path, device: str, side: int) -> int:
    """Largest difference between the samples of a restored picture on the device and on the CPU, in levels of 255."""
    restored = []
    source = synthetic_png(side, side)
    stream = b""
    for name in ("cpu", device):
        codec = open_codec(root, device=name)
        try:
            stream = stream or codec.compress(source, CompressOptions(quality=40, effort=1)).stream
            with Image.open(io.BytesIO(codec.restore(stream, RestoreOptions()).image)) as image:
                restored.append(np.asarray(image).astype(np.int16))
        finally:
            codec.close()
    return int(np.abs(restored[0] - restored[1]).max())


@torch.inference_mode()
def _runs_per_s(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    for _ in range(3):
        run()
    _finish(device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(4 if device.type == "cuda" else 1):
            run()
            count += 1
        _finish(device)
    return count / (time.perf_counter() - started)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
