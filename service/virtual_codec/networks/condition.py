"""Condition of a network: a short vector that describes the quantisation of the picture's stream.

The vector has means of log2 of the quantisation tables' entries over bands of rising frequency. Tables of other
encoders and qualities, which were not in the training data, therefore still lie between known ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Diagonals u + v of an 8x8 block, grouped into bands with about equal energy in photographs.
_BANDS: Final = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, 14))
_DIAGONALS: Final = np.add.outer(np.arange(8), np.arange(8))

CONDITION_SIZE: Final = 2 * len(_BANDS) + 3
CODECS: Final = ("avif", "webp", "jpeg2000")  # the order of their flags
CODEC_CONDITION_SIZE: Final = CONDITION_SIZE + len(CODECS) + 1


def condition(tables: Sequence[NDArray[np.uint16]], *, subsampled: bool, own: bool) -> NDArray[np.float32]:
    """Condition vector [CONDITION_SIZE] of a stream, each entry about -2 to 2.

    `tables` has one [8, 8] table in natural order for each component, luma first. `subsampled` is true if the chroma
    planes are smaller than the luma plane. `own` is true if this project's encoder made the stream: its trellis also
    chooses levels other than the nearest, which other encoders rarely do.
    """
    luma = tables[0]
    chroma = tables[1] if len(tables) > 1 else luma
    bands = [_band_means(luma), _band_means(chroma)]
    flags = [float(subsampled), float(own), float(len(tables) == 1)]
    return np.concatenate([*bands, np.array(flags, np.float32)]).astype(np.float32)


def codec_condition(
    codec: str,
    *,
    luma: tuple[float, float],
    chroma: tuple[float, float],
    subsampled: bool,
    grey: bool,
    filter_level: int = 0,
) -> NDArray[np.float32]:
    """Condition vector [CODEC_CONDITION_SIZE] of a stream of another codec than JPEG, each entry about -2 to 2.

    It begins like JPEG's, with flat tables: `luma` and `chroma` are the steps of the lowest frequency and of the
    others, of an orthonormal transform of 8-bit samples. Flags of the codec follow, in the order of `CODECS`, then the
    level of VP8's loop filter (0 to 63, or 0). Raises `ValueError` for another codec.
    """
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
    steps = [step for lowest, others in (luma, chroma) for step in (lowest, *[others] * (len(_BANDS) - 1))]
    flags = [float(subsampled), 0.0, float(grey), *(float(codec == each) for each in CODECS)]
    return np.array([*((np.log2(max(step, 0.5)) - 4.0) / 2.0 for step in steps), *flags, filter_level / 32], np.float32)


def _band_means(table: NDArray[np.uint16]) -> NDArray[np.float32]:
    levels = np.log2(np.maximum(table, 1).astype(np.float32))
    means = [levels[(low <= _DIAGONALS) & (_DIAGONALS <= high)].mean() for low, high in _BANDS]
    return (np.array(means, np.float32) - 4.0) / 2.0  # a step of 16 is 0, of 1 is -2, of 255 about 2
