"""Quantisation cells: bounds on the DCT coefficients of a change to a decoded picture.

A quantised coefficient comes from a value within half a step of it. The original's coefficients therefore lie in a box
around those of the decoded picture, and projecting an estimate onto that box cannot move it away from the original. (A.
Zakhor, "Iterative procedures for reduction of blocking effects in transform image coding", IEEE Transactions on
Circuits and Systems for Video Technology 2(1), 1992.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs._dct import DCT_BASIS
from virtual_codec.compiled_loops import compiled

Pixels = NDArray[np.uint8]


def within_cells(
    decoded: Pixels, restored: Pixels, bounds: NDArray[np.float32], to_coded: NDArray[np.float32]
) -> Pixels:
    """Limit `restored` to the cells around `decoded`: [h, w, channels] each, 1 or 3 channels -> the same.

    `bounds` [components, 8, 8] are the largest magnitudes of the change's coefficients (rows are vertical frequencies);
    infinite bounds leave a component unlimited. `to_coded` [components, channels] converts channels to components.
    Blocks that the picture's edge cuts are completed by repeating the edge, as encoders do.
    """
    back = np.ascontiguousarray(np.linalg.inv(to_coded.astype(np.float64)).astype(np.float32))
    result = np.empty_like(decoded)
    is_bounded = np.array([bool(np.isfinite(each).all()) for each in bounds], np.bool_)
    _limit(decoded, restored, bounds.astype(np.float32), to_coded.astype(np.float32), back, is_bounded, result)
    return result


def keep_flat_areas(decoded: Pixels, limited: Pixels, rows: int, columns: int) -> None:
    """Copy `decoded` into `limited`, [h, w, channels] each, in areas where 3 x 3 MCUs have one colour.

    There all AC coefficients are zero and the DCs are equal, so no texture can be restored. An MCU has `rows` x
    `columns` pixels.
    """
    _keep_flat(decoded, limited, rows, columns)


@compiled
def _limit(
    decoded: Pixels,
    restored: Pixels,
    bounds: NDArray[np.float32],
    to_coded: NDArray[np.float32],
    back: NDArray[np.float32],
    is_bounded: NDArray[np.bool_],
    result: Pixels,
) -> None:
    height, width, channels = decoded.shape
    change = np.empty((channels, 8, 8), np.float32)
    plane = np.empty((8, 8), np.float32)
    half = np.empty((8, 8), np.float32)
    over = np.empty((8, 8), np.float32)
    least = np.empty(len(bounds), np.float32)
    for component in range(len(bounds)):
        least[component] = bounds[component].min()
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            for y in range(8):
                row = min(top + y, height - 1)
                for x in range(8):
                    column = min(left + x, width - 1)
                    for c in range(channels):
                        moved = np.float32(restored[row, column, c]) - np.float32(decoded[row, column, c])
                        change[c, y, x] = moved
            for component in range(len(bounds)):
                if not is_bounded[component]:
                    continue
                energy = np.float32(0)
                for y in range(8):
                    for x in range(8):
                        total = np.float32(0)
                        for c in range(channels):
                            total += to_coded[component, c] * change[c, y, x]
                        plane[y, x] = total
                        energy += total * total
                if energy <= least[component] * least[component]:  # no coefficient is greater than the block's norm
                    continue
                if not _excess(plane, bounds[component], half, over):
                    continue
                for c in range(channels):
                    factor = back[c, component]
                    for y in range(8):
                        for x in range(8):
                            change[c, y, x] -= factor * plane[y, x]
            for y in range(min(8, height - top)):
                for x in range(min(8, width - left)):
                    for c in range(channels):
                        shown = np.rint(np.float32(decoded[top + y, left + x, c]) + change[c, y, x])
                        result[top + y, left + x, c] = np.uint8(min(max(shown, np.float32(0)), np.float32(255)))


@compiled
def _excess(
    plane: NDArray[np.float32], bounds: NDArray[np.float32], half: NDArray[np.float32], over: NDArray[np.float32]
) -> bool:
    """Replace a block by its excess over the cell's bounds; return False, without replacement, if there is none."""
    for k in range(8):
        for x in range(8):
            half[k, x] = np.float32(0)
        for n in range(8):
            for x in range(8):
                half[k, x] += DCT_BASIS[k, n] * plane[n, x]
    is_outside = False
    for k in range(8):
        for m in range(8):
            total = np.float32(0)
            for x in range(8):
                total += half[k, x] * DCT_BASIS[m, x]
            over[k, m] = total - min(max(total, -bounds[k, m]), bounds[k, m])
            is_outside = is_outside or over[k, m] != 0
    if not is_outside:
        return False
    for n in range(8):
        for m in range(8):
            half[n, m] = np.float32(0)
        for k in range(8):
            for m in range(8):
                half[n, m] += DCT_BASIS[k, n] * over[k, m]
    for n in range(8):
        for x in range(8):
            plane[n, x] = np.float32(0)
        for m in range(8):
            for x in range(8):
                plane[n, x] += half[n, m] * DCT_BASIS[m, x]
    return True


@compiled
def _keep_flat(decoded: Pixels, limited: Pixels, rows: int, columns: int) -> None:
    height, width, channels = decoded.shape
    down, across = -(-height // rows), -(-width // columns)
    is_uniform = np.zeros((down, across), np.bool_)
    for v in range(down):
        for u in range(across):
            uniform = True
            for y in range(v * rows, min((v + 1) * rows, height)):
                for x in range(u * columns, min((u + 1) * columns, width)):
                    for c in range(channels):
                        if decoded[y, x, c] != decoded[v * rows, u * columns, c]:
                            uniform = False
                            break
                    if not uniform:
                        break
                if not uniform:
                    break
            is_uniform[v, u] = uniform
    for v in range(down):
        for u in range(across):
            flat = True
            for q in range(max(0, v - 1), min(down, v + 2)):
                for p in range(max(0, u - 1), min(across, u + 2)):
                    flat = flat and is_uniform[q, p]
                    for c in range(channels):
                        flat = flat and decoded[q * rows, p * columns, c] == decoded[v * rows, u * columns, c]
            if flat:
                for y in range(v * rows, min((v + 1) * rows, height)):
                    for x in range(u * columns, min((u + 1) * columns, width)):
                        for c in range(channels):
                            limited[y, x, c] = decoded[y, x, c]
