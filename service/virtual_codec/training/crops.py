"""Crops for training and validation: squares of images, and drawings if the recipe has a share of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.drawings import drawing

_VALIDATION_SEED: Final = (2_147_483_647, 0, 0)  # batches are seeded by two numbers: no batch has this seed


def training_crop(random: np.random.Generator, pictures: Pictures, config: TrainConfig) -> NDArray[np.uint8]:
    """Crop of the recipe's size, [crop, crop, 3]: a drawing with probability `drawings_share`, else a square."""
    if config.drawings_share and random.random() < config.drawings_share:
        return drawing(random, config.crop)
    return pictures.crop(random, config.crop, scale_jitter=config.scale_jitter, enlargement=config.enlargement)


def validation_crops(pictures: Pictures, config: TrainConfig, most: int) -> list[NDArray[np.uint8]]:
    """At most `most` crops [crop, crop, 3] that no batch holds: drawings by their share, then held-out squares.

    They are always the same.
    """
    random = np.random.default_rng(_VALIDATION_SEED)
    drawings = [drawing(random, config.crop) for _ in range(round(most * config.drawings_share))]
    return drawings + pictures.held_out_crops(config.crop, most - len(drawings))
