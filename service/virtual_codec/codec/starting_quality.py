"""Starting quality of the search for a target, estimated from a few ordinary JPEGs of the image.

A quality means the PSNR of an ordinary JPEG in a known share of its bytes. An ordinary JPEG takes only a few percent of
the time of a trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codec.promise import ALLOWED_BYTES
from virtual_codec.codec.reference import reference_jpeg, reference_picture
from virtual_codec.codec.trial import Trials
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions
from virtual_codec.metrics import ms_ssim, psnr, similarity_db

_MEASURED_QUALITIES: Final = (2, 7, 16, 30, 46, 62, 77, 89, 96)


def starting_quality(trials: Trials, options: CompressOptions) -> int:
    """Quality (1-100) at which ordinary JPEGs of the image about meet the target of `options`."""
    if trials.least_scale > 1:  # an image too long for an ordinary JPEG
        return DEFAULT_QUALITY
    height, width = trials.pixels.shape[:2]
    if options.min_psnr is not None:
        return _quality_reaching(
            options.min_psnr, lambda quality: min(90.0, psnr(_decoded_reference(trials, quality), trials.pixels))
        )
    if options.min_ms_ssim is not None:
        return _quality_reaching(
            similarity_db(min(1 - 1e-9, options.min_ms_ssim)),
            lambda quality: min(90.0, similarity_db(ms_ssim(_decoded_reference(trials, quality), trials.pixels))),
        )
    max_bytes = options.max_bytes or max(1.0, (options.max_bpp or 0) * height * width / 8)
    qualities, shares = zip(*ALLOWED_BYTES, strict=True)
    return _quality_reaching(
        math.log(max_bytes),
        lambda quality: math.log(
            reference_jpeg(trials, quality).size_bytes * float(np.interp(quality, qualities, shares))
        ),
    )


def _decoded_reference(trials: Trials, quality: int) -> NDArray[np.uint8]:
    """Picture of an ordinary JPEG with 4:4:4, because subsampled chroma limits the PSNR of a colourful image."""
    return reference_picture(trials, quality, subsampling=0)[1]


def _quality_reaching(target: float, measure: Callable[[int], float]) -> int:
    """Quality at which a rising measure reaches `target`, interpolated between two of `_MEASURED_QUALITIES`."""
    low, high = -1, len(_MEASURED_QUALITIES)
    below = above = math.nan
    while high - low > 1:
        middle = (low + high) // 2
        value = measure(_MEASURED_QUALITIES[middle])
        if value < target:
            low, below = middle, value
        else:
            high, above = middle, value
    if low < 0:
        return 1
    if high == len(_MEASURED_QUALITIES):
        return 99
    share = (target - below) / max(above - below, 1e-9)
    return round(_MEASURED_QUALITIES[low] + share * (_MEASURED_QUALITIES[high] - _MEASURED_QUALITIES[low]))
