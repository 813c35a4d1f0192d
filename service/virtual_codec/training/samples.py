"""Training samples: a crop sent through the real codec, with what the stream tells of itself."""

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
from virtual_codec.codecs import JpegSettings
from virtual_codec.codecs.jpeg import DEFAULT_TRELLIS, decode, encode
from virtual_codec.networks.condition import condition
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures

_AHEAD: Final = 3  # batches made while the device works

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures [B, 3, h, w] in [0, 1] and what their streams say [B, CONDITION_SIZE].

    `decoded` is what the decoder returned (`description` size), `image` the original.
    """

    decoded: Tensor
    image: Tensor
    condition: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            decoded=self.decoded.to(device, non_blocking=True),
            image=self.image.to(device, non_blocking=True),
            condition=self.condition.to(device, non_blocking=True),
        )


def batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` to the recipe's end, made ahead in threads; each depends on seed and step alone."""

    def make(step: int) -> Batch:
        return plain_batch(np.random.default_rng((seed, step)), pictures, config)

    yield from made_ahead(make, start, config.steps, threads=2)


def plain_batch(random: np.random.Generator, pictures: Pictures, config: TrainConfig) -> Batch:
    """Crops whose plain descriptions went through our codec or another encoder."""
    return collate([_sample(random, pictures, config) for _ in range(config.batch)])


def made_ahead(make: Callable[[int], Made], start: int, stop: int, *, threads: int = 1) -> Iterator[Made]:
    """`make(step)` of each step from `start` to before `stop`, in order; some are made while the device works."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting = deque(pool.submit(make, step) for step in range(start, min(stop, start + _AHEAD)))
        for step in range(start, stop):
            if step + _AHEAD < stop:
                waiting.append(pool.submit(make, step + _AHEAD))
            yield waiting.popleft().result()


def through_codec(
    description: NDArray[np.uint8] | NDArray[np.float32], settings: JpegSettings
) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
    """Send a picture through our encoder and the ordinary decoder: decoded pixels, condition, and bytes."""
    stream = encode(description, settings)
    return decode(stream), _stream_condition(stream, own=True), len(stream)


def shrink_pixels(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The plain description of an image: Lanczos at 1/scale size."""
    if scale == 1:
        return image
    size = (image.shape[1] // scale, image.shape[0] // scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def collate(samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]]) -> Batch:
    """Stack (decoded, image, condition) triples."""
    return Batch(
        decoded=to_tensor([decoded for decoded, _, _ in samples]),
        image=to_tensor([image for _, image, _ in samples]),
        condition=torch.from_numpy(np.stack([vector for _, _, vector in samples])),
    )


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """[h, w, 3] bytes -> [B, 3, h, w] in [0, 1], channels last in memory."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(255)


def draw_settings(random: np.random.Generator, config: TrainConfig) -> JpegSettings:
    """Settings of our encoder around its defaults; coarse steps, where there is most to restore, come more often."""
    low, high = np.log(config.step_range)
    return JpegSettings(
        step=float(np.exp(low + (high - low) * np.sqrt(random.random()))),
        trellis=DEFAULT_TRELLIS * float(np.exp(random.uniform(-0.5, 0.5))),
        luma_exponent=float(random.uniform(0.05, 0.6)),
        chroma_ratio=float(random.uniform(0.6, 1.1)),
        masking=float(random.uniform(0.0, 0.4)),
        subsampling="444" if random.random() < config.full_chroma_share else "420",
    )


def _sample(
    random: np.random.Generator, pictures: Pictures, config: TrainConfig
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    image = pictures.crop(random, config.crop, scale_jitter=config.scale_jitter, enlargement=config.enlargement)
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
    """Another encoder's JPEG: libjpeg-turbo at qualities 5 to 100, now and then compressed twice."""
    stream = _foreign(random, description)
    if random.random() < 0.2:
        stream = _foreign(random, decode(stream))
    return decode(stream), _stream_condition(stream, own=False)


def _foreign(random: np.random.Generator, picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(
        file, "JPEG", quality=int(random.integers(5, 101)), subsampling=int(random.choice([2, 2, 0, 1]))
    )
    return file.getvalue()


def _stream_condition(stream: bytes, *, own: bool) -> NDArray[np.float32]:
    layout = bitstream.layout(stream)
    return condition(layout.tables, subsampled=len(set(layout.sampling)) > 1, own=own)
