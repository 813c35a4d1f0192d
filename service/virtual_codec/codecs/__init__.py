"""The standard codecs a description may travel through.

To add one: a private module with a class that keeps the promises of `StandardCodec`, and a row in `CODECS`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs._dct import Pixels, blocks_of, samples_of
from virtual_codec.codecs._jpeg import Jpeg, JpegSettings, quantisation_tables
from virtual_codec.codecs._scans import check_scans_complete
from virtual_codec.codecs._tables import ZIGZAG, ijg_luma_table

__all__ = [
    "CODECS",
    "ZIGZAG",
    "JpegSettings",
    "StandardCodec",
    "blocks_of",
    "check_scans_complete",
    "ijg_luma_table",
    "quantisation_tables",
    "samples_of",
]


class StandardCodec(Protocol):
    """A codec of a published standard, so that streams open anywhere."""

    @property
    def name(self) -> str:
        """What requests call it."""

    @property
    def media_type(self) -> str:
        """What its streams are served as."""

    @property
    def longest_side(self) -> int:
        """The most pixels that a side of a stream's picture may have."""

    def encode(self, pixels: Pixels, settings: JpegSettings) -> bytes:
        """Code [h, w, 3] RGB or [h, w] grey samples, 0 to 255; floats are taken unrounded."""

    def polish(self, stream: bytes) -> bytes:
        """The same picture in fewer bytes where more effort finds them, else `stream`."""

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """The picture any decoder of the standard shows: [h, w, 3] or [h, w]. Raises `UndecodableImage`."""


CODECS: dict[str, StandardCodec] = {codec.name: codec for codec in (Jpeg(),)}
