"""Quantisation that a stream states of itself, whichever standard codec and encoder made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

CodecName = Literal["avif", "webp", "jpeg2000"]
CODEC_NAMES: Final[tuple[CodecName, ...]] = get_args(CodecName)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """Quantisation of a WebP, AVIF or JPEG 2000 picture, read from its headers.

    Steps are those of an orthonormal transform of 8-bit samples, as the entries of a JPEG's tables are: `luma` and
    `chroma` hold (lowest frequency, other frequencies). JPEG 2000 states steps that its encoder undercuts by dropping
    bit planes, so they are estimated from its rate. `index` is the codec's own quantiser index, None where it has
    none. `filter_level` is VP8's, 0 to 63. `is_lossless` is true for a picture that was coded without losses.
    """

    codec: CodecName
    luma: tuple[float, float]
    chroma: tuple[float, float]
    is_subsampled: bool
    is_grey: bool = False
    index: int | None = None
    filter_level: int = 0
    is_lossless: bool = False
