"""Training samples of AVIF, WebP and JPEG 2000: crops coded by Pillow's encoders, and their condition vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from virtual_codec import bitstream
from virtual_codec.codec.model import as_colour, condition_of_quantisation
from virtual_codec.codecs import QUALITY_CODECS, QualityCodec, QualitySettings
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import training_crop, validation_crops
from virtual_codec.training.data import Pictures
from virtual_codec.training.losses import mean_psnr
from virtual_codec.training.samples import Batch, collate, prefetched

# Lowest and highest level of each codec, about 0.1 and 3 bits per pixel, and the speeds of its encoder.
_LEVEL_RANGES: Final = {"avif": (5, 92), "webp": (0, 95), "jpeg2000": (5, 80)}
_ENCODER_SPEEDS: Final = {"avif": (6, 8, 9), "webp": (4, 6), "jpeg2000": (0,)}
_VALIDATION_LEVELS: Final = {"avif": (20, 45, 70), "webp": (5, 40, 80), "jpeg2000": (20, 35, 50)}
_FOREIGN_SHARE: Final = 0.2  # share of AVIFs with libavif's default tuning, as other programs make them

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def codecs_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` to the recipe's end, prefetched; each depends on seed and step alone."""

    def make(step: int) -> Batch:
        random = np.random.default_rng((seed, step))
        return collate([_sample(random, pictures, config) for _ in range(config.batch)])

    yield from prefetched(make, start, config.steps)


def through_quality_codec(picture: NDArray[np.uint8], codec: QualityCodec, settings: QualitySettings) -> Sample:
    """Decoded picture, original and condition vector of a picture [h, w, 3] or [h, w] coded by a codec."""
    stream = codec.encode(picture, settings)
    decoded = codec.decode(stream)
    found = bitstream.quantisation(stream, codec.name)
    assert found is not None, f"{codec.title} states no quantisation"
    return decoded, picture, condition_of_quantisation(found)


def _sample(random: np.random.Generator, pictures: Pictures, config: TrainConfig) -> Sample:
    names, shares = zip(*config.codecs, strict=True)
    codec = QUALITY_CODECS[names[random.choice(len(names), p=np.array(shares) / sum(shares))]]
    low, high = _LEVEL_RANGES[codec.name]
    settings = QualitySettings(
        level=int(random.integers(low, high + 1)),
        speed=int(random.choice(_ENCODER_SPEEDS[codec.name])),
        subsampling=codec.subsamplings[int(random.integers(len(codec.subsamplings)))],
        is_tuned=bool(random.random() >= _FOREIGN_SHARE),
    )
    image = training_crop(random, pictures, config)
    if random.random() < config.grey_share:
        image = np.asarray(Image.fromarray(image).convert("L"))
    return _in_colour(through_quality_codec(image, codec, settings))


def _in_colour(sample: Sample) -> Sample:
    decoded, image, vector = sample
    return as_colour(decoded), as_colour(image), vector


@final
class CodecsValidation:
    """PSNR of decoded held-out crops, and the network's gain, at three levels of each codec of the recipe.

    `bfloat16` runs the network under autocast in that precision.
    """

    def __init__(
        self, pictures: Pictures, config: TrainConfig, device: str, *, most: int = 16, bfloat16: bool = True
    ) -> None:
        self._device = device
        self._bfloat16 = bfloat16
        self._batches: dict[str, Batch] = {}
        crops = validation_crops(pictures, config, most)
        for codec in (QUALITY_CODECS[name] for name, _ in config.codecs):
            for level in _VALIDATION_LEVELS[codec.name]:
                settings = QualitySettings(
                    level=level, speed=_ENCODER_SPEEDS[codec.name][0], subsampling=codec.subsamplings[-1]
                )
                samples = [through_quality_codec(crop, codec, settings) for crop in crops]
                self._batches[f"{codec.name}_{level}"] = collate(samples)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNR and gain in dB, means over the crops."""
        measured = {}
        for name, batch in self._batches.items():
            plain = mean_psnr(batch.decoded, batch.image)
            measured[f"plain_{name}"] = plain
            measured[f"gain_{name}"] = mean_psnr(self._restored(network, batch), batch.image) - plain
        return measured

    def score_db(self, figures: Mapping[str, float]) -> float:
        """Gain over the decoded picture in dB, mean over codecs and levels."""
        return sum(figures[f"gain_{name}"] for name in self._batches) / len(self._batches)

    def rows(self, network: nn.Module) -> list[Tensor]:
        """Rows of a sample sheet at the first codec's coarsest level: originals, decoded, restored."""
        batch = next(iter(self._batches.values()))
        return [batch.image, batch.decoded, self._restored(network, batch)]

    def _restored(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self._bfloat16):
            restored: Tensor = network(batch.decoded.to(self._device), batch.condition.to(self._device))
        return restored.float().cpu()
