"""Where the search for a target begins: at the quality of which an ordinary JPEG would about meet it.

A quality stands for the fidelity of ordinary JPEGs in a known share of their bytes, and making a few of those costs
next to nothing beside one trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codec.promise import ALLOWED_BYTES, ordinary_jpeg, ordinary_picture
from virtual_codec.codec.trial import Trials
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions
from virtual_codec.metrics import ms_ssim, psnr, similarity_db

_LOOKED_AT: Final = (2, 7, 16, 30, 46, 62, 77, 89, 96)


def likely_quality(trials: Trials, options: CompressOptions) -> int:
    """The quality (1-100) at which the target that `options` hold lies, by what ordinary JPEGs of the image reach."""
    if trials.least_scale > 1:  # an image too long for an ordinary JPEG
        return DEFAULT_QUALITY
    height, width = trials.pixels.shape[:2]
    if options.min_psnr is not None:
        return _crossing(options.min_psnr, lambda quality: min(90.0, psnr(_shown(trials, quality), trials.pixels)))
    if options.min_ms_ssim is not None:
        return _crossing(
            similarity_db(min(1 - 1e-9, options.min_ms_ssim)),
            lambda quality: min(90.0, similarity_db(ms_ssim(_shown(trials, quality), trials.pixels))),
        )
    most = options.max_bytes or max(1.0, (options.max_bpp or 0) * height * width / 8)
    qualities, shares = zip(*ALLOWED_BYTES, strict=True)
    return _crossing(
        math.log(most),
        lambda quality: math.log(ordinary_jpeg(trials, quality)[0] * float(np.interp(quality, qualities, shares))),
    )


def _shown(trials: Trials, quality: int) -> NDArray[np.uint8]:
    """With chroma at full size: at half size it may keep a colourful image from ever being good."""
    return ordinary_picture(trials, quality, subsampling=0)[1]


def _crossing(wanted: float, measure: Callable[[int], float]) -> int:
    """The quality at which a rising measure reaches `wanted`: between two neighbours of those looked at."""
    low, high = -1, len(_LOOKED_AT)
    below = above = math.nan
    while high - low > 1:
        middle = (low + high) // 2
        value = measure(_LOOKED_AT[middle])
        if value < wanted:
            low, below = middle, value
        else:
            high, above = middle, value
    if low < 0:
        return 1
    if high == len(_LOOKED_AT):
        return 99
    share = (wanted - below) / max(above - below, 1e-9)
    return round(_LOOKED_AT[low] + share * (_LOOKED_AT[high] - _LOOKED_AT[low]))
