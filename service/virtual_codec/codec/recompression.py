"""Recompressed JPEGs: correction of the luma towards the primary JPEG."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codec.primary_quantisation import MAX_COEFFICIENT, expected_coefficients, primary_steps
from virtual_codec.codecs import blocks_of, samples_of

Plane = NDArray[np.uint8]

_MAX_BLOCKS: Final = 8192  # most blocks that are analysed: enough for detection, in a small share of the network's time
_GRID_SHIFTS: Final = ((3, 5), (6, 2))  # shifts (rows, columns) of the block grid
_BAND_ROWS: Final = 256

# Least ratio of primary to last steps at which the luma is corrected. Below it the network alone is better: at 0.67 it
# still gains 0.8 dB against the primary JPEG's picture, at 0.8 it loses 2.4.
_MIN_PRIMARY_STEP_RATIO: Final = 0.72

# Largest mean squared distance between coefficients and multiples of their steps; rounding alone gives 0.08.
_MAX_COEFFICIENT_ERROR: Final = 0.3


def primary_correction(luma: Plane, table: NDArray[np.uint16]) -> NDArray[np.float16] | None:
    """Luma correction towards the primary JPEG of a double-compressed image, or None if there was only one compression.

    `luma` [h, w] is the plane as coded, `table` [8, 8] its quantisation table; the correction is [h, w]. It is 0 in
    blocks with black or white samples and in incomplete blocks, whose coefficients are not known exactly.
    """
    steps = table.ravel()[ZIGZAG].astype(np.int64)
    found = _primary_steps(luma, steps)
    if found is None:
        return None
    corrections = [_level_corrections(int(step), float(primary)) for step, primary in zip(steps, found, strict=True)]
    result = np.zeros(luma.shape, np.float16)
    for top in range(0, luma.shape[0] // 8 * 8, _BAND_ROWS):
        band = _whole_blocks(luma[top : top + _BAND_ROWS])
        coefficients, is_exact = _coefficients(band)
        corrected = np.zeros_like(coefficients)
        for index, correction in enumerate(corrections):
            if correction is not None:
                levels = np.rint(coefficients[:, index] / steps[index]).astype(np.int64)
                magnitudes = np.minimum(np.abs(levels), len(correction) - 1)
                corrected[:, index] = np.sign(levels) * correction[magnitudes]
        corrected[~is_exact] = 0
        height, width = band.shape
        samples = samples_of(corrected).reshape(height // 8, width // 8, 8, 8).swapaxes(1, 2)
        result[top : top + height, :width] = samples.reshape(height, width)
    return result


def _primary_steps(luma: Plane, steps: NDArray[np.int64]) -> NDArray[np.floating] | None:
    """Primary steps [64] in zig-zag order, or None if none are found or if they are too fine for a correction."""
    sets = []
    for down, right in ((0, 0), *_GRID_SHIFTS):
        whole = _whole_blocks(luma[down:, right:])
        if not whole.size:
            return None
        coefficients, is_exact = _coefficients(_sampled_rows(whole))
        coefficients = coefficients[is_exact]
        sets.append((coefficients, np.rint(coefficients / steps).astype(np.int32)))
    (coefficients, levels), *others = sets
    if not len(levels) or float(np.square(coefficients - levels * steps).mean()) > _MAX_COEFFICIENT_ERROR:
        return None
    found = primary_steps(levels, [shifted for _, shifted in others], steps)
    if found is None:
        return None
    known = found > 0
    is_coarse = np.log(found[known] / steps[known]).mean() > np.log(_MIN_PRIMARY_STEP_RATIO)
    return found if is_coarse else None


def _level_corrections(step: int, primary_step: float) -> NDArray[np.float32] | None:
    """Correction of a coefficient by the magnitude of its level; None if all are zero."""
    if primary_step <= 1:
        return None
    levels = np.arange(MAX_COEFFICIENT // step + 1)
    return (expected_coefficients(step, primary_step) - levels * step).astype(np.float32)


def _whole_blocks(plane: Plane) -> Plane:
    return plane[: plane.shape[0] // 8 * 8, : plane.shape[1] // 8 * 8]


def _sampled_rows(plane: Plane) -> Plane:
    """Every n-th row of blocks, with n such that at most `_MAX_BLOCKS` blocks are left."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    every = -(-rows * columns // _MAX_BLOCKS)
    return plane.reshape(rows, 8, -1)[:: max(1, every)].reshape(-1, plane.shape[1])


def _coefficients(plane: Plane) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Coefficients [blocks, 64] in zig-zag order, and a flag per block: True if no sample in it was clipped."""
    height, width = plane.shape
    cells = plane.reshape(height // 8, 8, width // 8, 8)
    is_exact = ((cells.min(axis=(1, 3)) > 0) & (cells.max(axis=(1, 3)) < 255)).ravel()
    return blocks_of(plane, halve_chroma=False).components[0], is_exact
