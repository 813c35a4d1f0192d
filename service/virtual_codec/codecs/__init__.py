"""Standard codecs that code descriptions.

To add a codec, write a private module with a class that implements `StandardCodec`, and add a row to `CODECS`. A codec
that uses Pillow's encoder with a quality level is a row in `QUALITY_CODECS`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs._by_quality import QUALITY_CODECS, QualityCodec, QualitySettings
from virtual_codec.codecs._cells import keep_flat_areas, within_cells
from virtual_codec.codecs._dct import DCT_BASIS, Blocks, Pixels, blocks_of, samples_of
from virtual_codec.codecs._scans import check_scans_complete
from virtual_codec.codecs._tables import ANNEX_K_CHROMA, ANNEX_K_LUMA, ijg_luma_table, is_transposed
from virtual_codec.codecs._trellis import SSIM_ENERGY
from virtual_codec.codecs._ycc import rgb_of
from virtual_codec.codecs.jpeg import (
    DEFAULT_TRELLIS,
    Jpeg,
    JpegSettings,
    description_settings,
    quantisation_tables,
)

__all__ = [
    "ANNEX_K_CHROMA",
    "ANNEX_K_LUMA",
    "CODECS",
    "DCT_BASIS",
    "DEFAULT_TRELLIS",
    "QUALITY_CODECS",
    "SSIM_ENERGY",
    "Blocks",
    "JpegSettings",
    "QualityCodec",
    "QualitySettings",
    "StandardCodec",
    "blocks_of",
    "check_scans_complete",
    "description_settings",
    "ijg_luma_table",
    "is_transposed",
    "keep_flat_areas",
    "quantisation_tables",
    "rgb_of",
    "samples_of",
    "within_cells",
]


class StandardCodec(Protocol):
    """Standard codec. Any decoder of the standard opens its streams."""

    @property
    def name(self) -> str:
        """Name of the codec in requests."""

    @property
    def media_type(self) -> str:
        """Media type of the codec's streams."""

    @property
    def longest_side(self) -> int:
        """Greatest width and height of a stream's picture, in pixels."""

    def encode(self, pixels: Pixels, settings: JpegSettings) -> bytes:
        """Encode [h, w, 3] RGB or [h, w] grey samples, 0 to 255. Floats are not rounded first."""

    def optimise_scans(self, stream: bytes) -> bytes:
        """Recode the stream losslessly in fewer bytes, or return `stream` unchanged."""

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Decode a stream as any decoder of the standard does: [h, w, 3] or [h, w]. Raises `UndecodableImage`."""


# Codecs that take quantisation tables.
CODECS: dict[str, StandardCodec] = {codec.name: codec for codec in (Jpeg(),)}
