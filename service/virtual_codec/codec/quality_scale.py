"""Conversion of JPEG's quality scale to the levels of other codecs, by tables in the model's manifest."""

from __future__ import annotations

import io
import math
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.codec.trial import mean_squared_error
from virtual_codec.codecs import QualityCodec
from virtual_codec.codecs.jpeg import LONGEST_SIDE
from virtual_codec.errors import BadModel
from virtual_codec.store import Manifest


@final
class QualityScale:
    """Levels of a codec for the qualities 1 to 100, for one image.

    The manifest's table `level-<codec>` has the levels. If a codec's levels are decibels, the table has decibels above
    the PSNR of the image's ordinary JPEG, because a fixed level would spend too many bits on pictures that are hard to
    code. Raises `BadModel` if the table is missing.
    """

    def __init__(self, manifest: Manifest, codec: QualityCodec, pixels: NDArray[np.uint8]) -> None:
        self._table = np.array(manifest.tables.get(f"level-{codec.name}", ()), np.float64)
        if len(self._table) != 100:
            raise BadModel(f"the manifest's table 'level-{codec.name}' must have 100 numbers, one for each quality")
        self._codec = codec
        self._pixels = pixels

    def level(self, quality: int) -> int:
        """Level of a quality from 1 to 100."""
        value = float(self._table[quality - 1])
        if self._codec.decibels is not None:
            value = level_of_decibels(self._codec.decibels, ordinary_jpeg_psnr_db(self._pixels, quality) + value)
        return min(max(round(value), 0), self._codec.finest_level)

    def nearest_quality(self, level: int) -> int:
        """Quality from 1 to 100 whose level is about the closest to `level`."""
        low, high = 1, 100
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.level(middle) >= level else (middle, high)
        return high if abs(self.level(high) - level) <= abs(self.level(low) - level) else low


def ordinary_jpeg_psnr_db(pixels: NDArray[np.uint8], quality: int) -> float:
    """PSNR (all samples, dB) of an image as libjpeg's JPEG of a quality, 4:2:0. [h, w, 3] or [h, w]."""
    file = io.BytesIO()
    part = pixels[:LONGEST_SIDE, :LONGEST_SIDE]
    Image.fromarray(part).save(file, "JPEG", quality=quality, subsampling=2)
    error = mean_squared_error(np.asarray(Image.open(file)), part)
    return 10 * math.log10(255**2 / max(error, 1e-3))


def level_of_decibels(decibels: tuple[float, float], wanted: float) -> float:
    """Level of an encoder for a target PSNR in dB; `decibels` are the target PSNRs of levels 0 and 100."""
    low, high = decibels
    return 100 * (wanted - low) / (high - low)
