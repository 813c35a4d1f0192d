"""Training samples: crops coded by the real codec, with the condition vectors of their streams."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from virtual_codec import bitstream
from virtual_codec.codecs import CODECS, JpegSettings, description_settings
from virtual_codec.networks.condition import condition
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import training_crop
from virtual_codec.training.data import Pictures

_PREFETCHED_BATCHES: Final = 3  # batches that are made while the device works
_JPEG: Final = CODECS["jpeg"]

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Batch of decoded descriptions and originals, [B, 3, h, w] in [0, 1], and conditions [B, CONDITION_SIZE]."""

    decoded: Tensor
    image: Tensor
    condition: Tensor

    def to(self, device: torch.device) -> Self:
        """Copy of the batch on a device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            decoded=self.decoded.to(device, non_blocking=True),
            image=self.image.to(device, non_blocking=True),
            condition=self.condition.to(device, non_blocking=True),
        )


def batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` to the recipe's end, prefetched. Each depends on seed and step alone."""

    def make(step: int) -> Batch:
        return plain_batch(np.random.default_rng((seed, step)), pictures, config)

    yield from prefetched(make, start, config.steps, threads=2)


def plain_batch(random: np.random.Generator, pictures: Pictures, config: TrainConfig) -> Batch:
    """Batch of crops with plain descriptions coded by this project's encoder or a foreign one."""
    return collate([_sample(random, pictures, config) for _ in range(config.batch)])


def prefetched(make: Callable[[int], ResultT], start: int, stop: int, *, threads: int = 1) -> Iterator[ResultT]:
    """Results of `make(step)` for the steps from `start` to before `stop`, in order, computed ahead by threads."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting = deque(pool.submit(make, step) for step in range(start, min(stop, start + _PREFETCHED_BATCHES)))
        for step in range(start, stop):
            if step + _PREFETCHED_BATCHES < stop:
                waiting.append(pool.submit(make, step + _PREFETCHED_BATCHES))
            yield waiting.popleft().result()


def through_codec(
    description: NDArray[np.uint8] | NDArray[np.float32], settings: JpegSettings
) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
    """Decoded pixels, condition vector and size in bytes of a picture coded by this project's encoder."""
    stream = _JPEG.encode(description, settings)
    return _JPEG.decode(stream), _stream_condition(stream, own=True), len(stream)


def shrink_pixels(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Plain description of an image [H, W, 3]: Lanczos at 1/scale size."""
    if scale == 1:
        return image
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def collate(samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]]) -> Batch:
    """Batch of (decoded, image, condition) triples."""
    return Batch(
        decoded=to_tensor([decoded for decoded, _, _ in samples]),
        image=to_tensor([image for _, image, _ in samples]),
        condition=torch.from_numpy(np.stack([vector for _, _, vector in samples])),
    )


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Tensor [B, 3, h, w] in [0, 1] of byte pictures [h, w, 3], channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255)


def default_settings(step: float, config: TrainConfig) -> JpegSettings:
    """Default encoder settings of a model with the recipe's networks, at a codec step."""
    return description_settings(config.scale, step, chroma_dc=config.chroma_dc)


def draw_settings(random: np.random.Generator, config: TrainConfig) -> JpegSettings:
    """Random encoder settings around the defaults; coarse steps are more frequent than fine ones."""
    low, high = np.log(config.step_range)
    defaults = JpegSettings(step=1.0)
    return JpegSettings(
        step=float(np.exp(low + (high - low) * np.sqrt(random.random()))),
        trellis=defaults.trellis * float(np.exp(random.uniform(-0.5, 0.5))),
        luma_exponent=float(random.uniform(0.05, 0.6)),
        luma_dc=float(random.uniform(0.65, 0.95)),
        chroma_ratio=float(random.uniform(0.6, 1.1)),
        chroma_dc=config.chroma_dc,
        masking=float(random.uniform(0.0, 0.4)),
        subsampling="444" if random.random() < config.full_chroma_share else "420",
    )


def _sample(
    random: np.random.Generator, pictures: Pictures, config: TrainConfig
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    image = training_crop(random, pictures, config)
    grey = random.random() < config.grey_share
    if grey:
        image = np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=2)
    description = shrink_pixels(image, config.scale)
    if random.random() < config.foreign_share:
        decoded, vector = _through_foreign(random, description[..., 0] if grey else description)
    else:
        settings = draw_settings(random, config)
        decoded, vector, _ = through_codec(description[..., 0] if grey else description, settings)
    if decoded.ndim == 2:
        decoded = np.repeat(decoded[..., None], 3, axis=2)
    return decoded, image, vector


def _through_foreign(
    random: np.random.Generator, description: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Decoded pixels and condition of a foreign JPEG: libjpeg-turbo at qualities 5 to 100, a fifth coded twice."""
    stream = _foreign_stream(random, description)
    if random.random() < 0.2:
        stream = _foreign_stream(random, _JPEG.decode(stream))
    return _JPEG.decode(stream), _stream_condition(stream, own=False)


def _foreign_stream(random: np.random.Generator, picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(
        file, "JPEG", quality=int(random.integers(5, 101)), subsampling=int(random.choice([2, 2, 0, 1]))
    )
    return file.getvalue()


def _stream_condition(stream: bytes, *, own: bool) -> NDArray[np.float32]:
    layout = bitstream.layout(stream)
    return condition(layout.tables, subsampled=len(set(layout.sampling)) > 1, own=own)
