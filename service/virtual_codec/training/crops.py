"""Training crops: squares of the training images, and drawings if the recipe has a share of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.drawings import drawing


def training_crop(random: np.random.Generator, pictures: Pictures, config: TrainConfig) -> NDArray[np.uint8]:
    """Crop of the recipe's size, [crop, crop, 3]: a drawing with probability `drawings_share`, else a square."""
    if config.drawings_share and random.random() < config.drawings_share:
        return drawing(random, config.crop)
    return pictures.crop(random, config.crop, scale_jitter=config.scale_jitter, enlargement=config.enlargement)
