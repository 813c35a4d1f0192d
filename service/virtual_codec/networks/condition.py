"""Condition of a network: a short vector that describes the quantisation of the stream that its picture came from.

The vector holds means of log2 of the quantisation tables' entries over bands of rising frequency. Hence a table that
no training run saw (of another encoder or quality) still lies between known ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Diagonals u + v of an 8x8 block, grouped so that each band holds about as much energy of a photograph as the next.
_BANDS: Final = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, 14))
_DIAGONAL: Final = np.add.outer(np.arange(8), np.arange(8))

CONDITION_SIZE: Final = 2 * len(_BANDS) + 3


def condition(tables: Sequence[NDArray[np.uint16]], *, subsampled: bool, own: bool) -> NDArray[np.float32]:
    """Condition vector [CONDITION_SIZE] of a stream, each entry about -2 to 2.

    `tables` holds one [8, 8] table in natural order for each component, the luma's first; `subsampled` says that the
    chroma planes are smaller than the luma plane; `own` that our encoder made the stream: its trellis puts
    coefficients outside of the cells that the tables promise, which other encoders' tables do not tell of.
    """
    luma = tables[0]
    chroma = tables[1] if len(tables) > 1 else luma
    bands = [_band_means(luma), _band_means(chroma)]
    flags = [float(subsampled), float(own), float(len(tables) == 1)]
    return np.concatenate([*bands, np.array(flags, np.float32)]).astype(np.float32)


def _band_means(table: NDArray[np.uint16]) -> NDArray[np.float32]:
    levels = np.log2(np.maximum(table, 1).astype(np.float32))
    means = [levels[(low <= _DIAGONAL) & (_DIAGONAL <= high)].mean() for low, high in _BANDS]
    return (np.array(means, np.float32) - 4.0) / 2.0  # a step of 16 is 0, of 1 is -2, of 255 about 2
