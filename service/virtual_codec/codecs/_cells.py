"""Quantisation cells: bounds on the DCT coefficients of a change to a decoded picture.

A quantised coefficient comes from a value within half a step of it. The original's coefficients therefore lie in a box
around those of the decoded picture, and moving an estimate into that box brings it no further from the original.
(A. Zakhor, "Iterative procedures for reduction of blocking effects in transform image coding", IEEE Transactions on
Circuits and Systems for Video Technology 2(1), 1992.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs._compiled import compiled
from virtual_codec.codecs._dct import DCT_BASIS


def excess_over_cells(change: NDArray[np.float32], bounds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Part of a change that leads out of the cells: [h, w] -> [h, w].

    `bounds` [8, 8] are the greatest magnitudes of the change's coefficients, rows being vertical frequencies. Blocks
    that the picture's edge cuts are completed by repeating the edge, as encoders do.
    """
    height, width = change.shape
    padded = np.pad(change, ((0, -height % 8), (0, -width % 8)), mode="edge")
    excess = np.zeros_like(padded)
    _excess(padded, bounds.astype(np.float32), excess)
    return excess[:height, :width]


@compiled
def _excess(change: NDArray[np.float32], bounds: NDArray[np.float32], excess: NDArray[np.float32]) -> None:
    half = np.empty((8, 8), np.float32)
    over = np.empty((8, 8), np.float32)
    for top in range(0, change.shape[0], 8):
        for left in range(0, change.shape[1], 8):
            for k in range(8):
                for x in range(8):
                    total = np.float32(0)
                    for n in range(8):
                        total += DCT_BASIS[k, n] * change[top + n, left + x]
                    half[k, x] = total
            is_inside = True
            for k in range(8):
                for m in range(8):
                    total = np.float32(0)
                    for x in range(8):
                        total += half[k, x] * DCT_BASIS[m, x]
                    bound = bounds[k, m]
                    over[k, m] = total - min(max(total, -bound), bound)
                    is_inside = is_inside and over[k, m] == 0
            if is_inside:
                continue
            for n in range(8):
                for m in range(8):
                    total = np.float32(0)
                    for k in range(8):
                        total += DCT_BASIS[k, n] * over[k, m]
                    half[n, m] = total
            for n in range(8):
                for x in range(8):
                    total = np.float32(0)
                    for m in range(8):
                        total += half[n, m] * DCT_BASIS[m, x]
                    excess[top + n, left + x] = total
