"""Quantisation from a stream's headers, for all codecs and encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

CodecName = Literal["avif", "webp", "jpeg2000"]
CODEC_NAMES: Final[tuple[CodecName, ...]] = get_args(CodecName)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """Quantisation of a WebP, AVIF or JPEG 2000 picture, read from its headers.

    Steps are those of an orthonormal transform of 8-bit samples, like the entries of a JPEG's tables: `luma` and
    `chroma` are (lowest frequency, other frequencies). Those of JPEG 2000 are estimated from its rate, because its
    encoder drops bit planes below the steps in its headers. `index` is the codec's own quantiser index, or None if it
    has none. `filter_level` is VP8's loop filter level, 0 to 63. `is_lossless` is true for a losslessly coded picture.
    """

    codec: CodecName
    luma: tuple[float, float]
    chroma: tuple[float, float]
    is_subsampled: bool
    is_grey: bool = False
    index: int | None = None
    filter_level: int = 0
    is_lossless: bool = False
