"""Streams of an image that a search compares: coded, or measured too; and its measures as an ordinary JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream
from virtual_codec.codec.operating import Mode
from virtual_codec.codecs import JpegSettings


@dataclass(frozen=True, kw_only=True)
class CodedImage:
    """Stream of an image at a mode and encoder settings.

    `coded` is the stream without this project's segment, `header` the content of the segment. `plain_squared_error` is
    the mean over all samples of the decoded picture, enlarged by the plain filter.
    """

    coded: bytes = field(repr=False)
    header: bitstream.StreamHeader
    mode: Mode
    settings: JpegSettings
    plain_squared_error: float

    @property
    def step(self) -> float:
        """Mean of the luma quantisation table."""
        return self.settings.step

    @property
    def size_bytes(self) -> int:
        """Size of the whole stream in bytes."""
        return len(self.coded) + bitstream.SEGMENT_BYTES


@dataclass(frozen=True, kw_only=True)
class Trial(CodedImage):
    """Stream of an image, and the distance of its restored image from the original.

    `squared_error` is the mean over all samples; `restored` is the image that this project's decoder will show.
    """

    squared_error: float
    restored: NDArray[np.uint8] = field(repr=False)

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples; 100 for identical images."""
        return 100.0 if self.squared_error == 0 else 10 * math.log10(255**2 / self.squared_error)

    def cost(self, multiplier: float) -> float:
        """Lagrangian cost: squared error over all pixels plus `multiplier` times bits, times the mode's cost factor."""
        pixels: int = self.restored.shape[0] * self.restored.shape[1]
        return self.mode.cost_factor * (self.squared_error * pixels + multiplier * 8 * self.size_bytes)


@dataclass(frozen=True, kw_only=True)
class ReferenceJpeg:
    """Measures of an image as an ordinary JPEG: bytes of the file, and mean squared error over all samples."""

    size_bytes: int
    squared_error: float

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples."""
        return 10 * math.log10(255**2 / self.squared_error)
