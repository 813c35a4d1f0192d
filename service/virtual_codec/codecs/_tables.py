"""Quantisation tables of JPEG's Annex K, and those derived from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import ZIGZAG

# ITU-T T.81, Annex K.1: the tables most encoders scale.
ANNEX_K_LUMA: NDArray[np.float64] = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float64,
)
ANNEX_K_CHROMA: NDArray[np.float64] = np.full((8, 8), 99.0)
ANNEX_K_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


def scaled_table(base: NDArray[np.float64], exponent: float, mean: float, dc: float = 1) -> NDArray[np.uint8]:
    """Quantisation table [8, 8]: `base` to the power `exponent`, DC times `dc`, scaled to `mean`, in 1 to 255."""
    shape = base**exponent
    shape[0, 0] *= dc
    table: NDArray[np.uint8] = np.clip(np.rint(shape * (mean / shape.mean())), 1, 255).astype(np.uint8)
    return table


def ijg_luma_table(quality: int) -> NDArray[np.int64]:
    """Luma table of libjpeg for a quality (1 to 100), zig-zag order: [64], 1 to 255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: NDArray[np.int64] = np.clip((ANNEX_K_LUMA.ravel()[ZIGZAG] * percent + 50) // 100, 1, 255).astype(np.int64)
    return table


def is_transposed(table: NDArray[np.uint16]) -> bool:
    """True if a luma table [8, 8] of `scaled_table` has been transposed, as lossless rotation does.

    Annex K's luma table is not symmetric, and powers of it keep the signs of its asymmetry.
    """
    logarithms = np.log(table.astype(np.float64)), np.log(ANNEX_K_LUMA)
    found, expected = (each - each.T for each in logarithms)
    return bool((found * expected).sum() < 0)
