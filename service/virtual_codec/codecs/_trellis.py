"""Trellis quantisation: chooses the levels with the least squared error plus Lagrange multiplier times bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs._huffman import bit_size
from virtual_codec.compiled_loops import compiled

_HIGHEST_AC = 1023
SSIM_ENERGY = 64 * (0.03 * 255) ** 2 / 2  # block energy at which SSIM's constant C2 begins to matter
_LOWEST_DC, _HIGHEST_DC = -1024, 1023


def block_weights(
    luma: NDArray[np.float32], columns: int, side: int, masking: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of squared errors in each luma block ([blocks]) and each chroma block ([MCUs]), in raster order.

    Texture masks errors: the weight is the block's AC energy to the power `-masking`, with a geometric mean of 1 over
    the picture. A chroma block has the mean weight of its MCU, which is `side` x `side` luma blocks; a row of the
    picture is `columns` of them.
    """
    energy = np.einsum("ij,ij->i", luma[:, 1:], luma[:, 1:]).astype(np.float64) + SSIM_ENERGY
    log_weight = -masking * np.log(energy)
    weight = np.exp(log_weight - log_weight.mean())
    grid = weight.reshape(-1, columns)
    starts = [np.arange(0, length, side) for length in grid.shape]
    sums, counts = (
        np.add.reduceat(np.add.reduceat(each, starts[0]), starts[1], axis=1) for each in (grid, grid * 0 + 1)
    )
    return weight.astype(np.float32), (sums / counts).ravel().astype(np.float32)


@compiled
def round_blocks(
    blocks: NDArray[np.float32],
    table: NDArray[np.float32],
    rounding: float,
    levels: NDArray[np.int16],
    last: NDArray[np.int64],
) -> None:
    """Quantise by the table ([64], zig-zag): `rounding` is 0.5 for the nearest level, less for a dead zone.

    `levels` ([blocks, 64]) and `last` ([blocks], index of the last nonzero AC level or 0) are written.
    """
    inverse = np.float32(1) / table
    offset = np.float32(rounding)
    for block in range(len(blocks)):
        levels[block, 0] = _clamp(int(np.rint(blocks[block, 0] * inverse[0])), _LOWEST_DC, _HIGHEST_DC)
        end = 0
        for k in range(1, 64):
            value = blocks[block, k]
            level = min(int(abs(value) * inverse[k] + offset), _HIGHEST_AC)
            levels[block, k] = level if value > 0 else -level
            if level:
                end = k
        last[block] = end


@compiled
def quantise_ac(
    blocks: NDArray[np.float32],
    table: NDArray[np.float32],
    weight_of: NDArray[np.float32],
    cost_of: NDArray[np.float32],
    levels: NDArray[np.int16],
    last: NDArray[np.int64],
) -> None:
    """AC levels of each block with the least weighted squared error plus cost of their bits.

    `weight_of` ([blocks]) is the weight of a squared error; `cost_of` ([256]) is the cost of a run/size symbol with its
    magnitude bits, in squared error. A path through the block is a choice of the coefficients that stay nonzero. Each
    has its nearest level or the largest level of the next smaller size category, because only a smaller category saves
    bits.
    """
    inverse = np.float32(1) / table
    half = np.float32(0.5)
    zero_run, end_of_block = cost_of[0xF0], cost_of[0]
    highest_cost = np.float32(0)
    for symbol in range(256):
        highest_cost = max(highest_cost, cost_of[symbol])
    # Dropping a coefficient saves its own code, and may shorten the next one's.
    never_dropped = 2 * highest_cost
    position = np.zeros(64, np.int64)
    level_of = np.zeros((2, 64), np.int64)
    size_of = np.zeros(64, np.int64)
    error_of = np.zeros((2, 64), np.float32)
    dropped_error = np.zeros(64, np.float32)
    best = np.zeros(64, np.float32)
    came_from = np.zeros(64, np.int64)
    choice = np.zeros(64, np.int64)
    for block in range(len(blocks)):
        for k in range(1, 64):
            levels[block, k] = 0
        last[block] = 0
        weight = weight_of[block]
        count_nonzero = 0
        for k in range(1, 64):
            value = abs(blocks[block, k])
            scaled = value * inverse[k] + half
            if scaled < np.float32(1):
                continue
            count_nonzero += 1
            level = min(int(scaled), _HIGHEST_AC)
            size = bit_size(level)
            smaller = (1 << (size - 1)) - 1
            position[count_nonzero] = k
            size_of[count_nonzero] = size
            level_of[0, count_nonzero], level_of[1, count_nonzero] = level, smaller
            error_of[0, count_nonzero] = weight * (value - np.float32(level) * table[k]) ** 2
            error_of[1, count_nonzero] = weight * (value - np.float32(smaller) * table[k]) ** 2
            dropped_error[count_nonzero] = weight * value * value
        if count_nonzero == 0:
            continue
        for i in range(1, count_nonzero + 1):
            k, size = position[i], size_of[i]
            least, origin, pick = np.float32(np.inf), 0, 0
            dropped = np.float32(0)
            for j in range(i - 1, -1, -1):
                run = k - position[j] - 1
                symbol = ((run & 15) << 4) | size
                path = best[j] + dropped + np.float32(run >> 4) * zero_run
                total = path + cost_of[symbol] + error_of[0, i]
                if total < least:
                    least, origin, pick = total, j, 0
                if size > 1:
                    total = path + cost_of[symbol - 1] + error_of[1, i]
                    if total < least:
                        least, origin, pick = total, j, 1
                dropped += dropped_error[j]
                if dropped_error[j] > never_dropped:
                    break
            best[i], came_from[i], choice[i] = least, origin, pick
        least, end = np.float32(np.inf), 0
        dropped = np.float32(0)
        for i in range(count_nonzero, -1, -1):
            total = best[i] + dropped
            if position[i] < 63:
                total += end_of_block
            if total < least:
                least, end = total, i
            dropped += dropped_error[i]
            if dropped_error[i] > never_dropped:
                break
        last[block] = position[end]
        while end:
            k = position[end]
            level = level_of[choice[end], end]
            levels[block, k] = level if blocks[block, k] > 0 else -level
            end = came_from[end]


@compiled
def quantise_dc(
    blocks: NDArray[np.float32],
    step: float,
    weight_of: NDArray[np.float32],
    cost_of: NDArray[np.float32],
    levels: NDArray[np.int16],
) -> None:
    """DC levels of a component with the least weighted squared error plus cost of their bits, over all blocks.

    Each block has its nearest level or a neighbouring one; `cost_of` ([256]) is the cost of a difference's size with
    its magnitude bits, in squared error.
    """
    count = len(blocks)
    centre = np.zeros(count, np.int64)
    came_from = np.zeros((count, 3), np.int8)
    before = np.zeros(3, np.float64)
    after = np.zeros(3, np.float64)
    for block in range(count):
        centre[block] = _clamp(int(np.rint(blocks[block, 0] / step)), _LOWEST_DC + 1, _HIGHEST_DC - 1)
        for i in range(3):
            level = centre[block] + i - 1
            if block == 0:
                least = float(cost_of[bit_size(level)])
            else:
                least = np.inf
                for j in range(3):
                    total = before[j] + cost_of[bit_size(level - (centre[block - 1] + j - 1))]
                    if total < least:
                        least = total
                        came_from[block, i] = j
            after[i] = least + weight_of[block] * (blocks[block, 0] - level * step) ** 2
        for i in range(3):
            before[i] = after[i]
    i = 0
    for j in range(1, 3):
        if before[j] < before[i]:
            i = j
    for block in range(count - 1, -1, -1):
        levels[block, 0] = centre[block] + i - 1
        i = came_from[block, i]


@compiled
def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
