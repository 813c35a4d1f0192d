"""DCT of pixels, block by block in raster order, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.compiled_loops import compiled

Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]

# Rows are the orthonormal DCT's basis functions, so squared errors of coefficients are those of samples.
DCT_BASIS: NDArray[np.float32] = np.array(
    [[np.cos((2 * n + 1) * k * np.pi / 16) * (np.sqrt(0.125) if k == 0 else 0.5) for n in range(8)] for k in range(8)],
    np.float32,
)
_DCT_BASIS_T: NDArray[np.float32] = np.ascontiguousarray(DCT_BASIS.T)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """DCT coefficients of an image.

    `components` has one [blocks, 64] array for each component. Blocks are in raster order, without blocks that have no
    samples of the image; coefficients are in zig-zag order, orthonormal, level-shifted. An MCU has `side` x `side`
    blocks (1 or 2) of the first component and one of each other.
    """

    width: int
    height: int
    side: int
    components: tuple[NDArray[np.float32], ...]

    @property
    def columns(self) -> int:
        """Blocks of the first component in a row of the picture."""
        return -(-self.width // 8)


def blocks_of(pixels: Pixels, *, halve_chroma: bool) -> Blocks:
    """Coefficients of [h, w, 3] RGB or [h, w] grey samples, 0 to 255; edges are replicated to whole blocks."""
    height, width = pixels.shape[:2]
    samples: NDArray[Any] = np.ascontiguousarray(pixels)
    if pixels.ndim == 2:
        grey = np.empty((_rounded_up(height, 8), _rounded_up(width, 8)), np.float32)
        _fill_grey(samples, grey)
        return Blocks(width=width, height=height, side=1, components=(_transformed(grey),))
    side = 2 if halve_chroma else 1
    luma = np.empty((_rounded_up(height, 8), _rounded_up(width, 8)), np.float32)
    blue = np.empty((_rounded_up(height, 8 * side) // side, _rounded_up(width, 8 * side) // side), np.float32)
    red = np.empty_like(blue)
    _fill_colour(samples, side, luma, blue, red)
    components = (_transformed(luma), _transformed(blue), _transformed(red))
    return Blocks(width=width, height=height, side=side, components=components)


def samples_of(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples of coefficients, without the level shift: [blocks, 64] zig-zag -> [blocks, 8, 8]."""
    natural = np.empty_like(blocks)
    natural[:, ZIGZAG] = blocks
    return np.asarray(_DCT_BASIS_T @ natural.reshape(-1, 8, 8) @ DCT_BASIS, np.float32)


def _rounded_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def _transformed(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = np.empty((plane.size // 64, 64), np.float32)
    _transform(plane, blocks)
    return blocks


@compiled
def _fill_grey(pixels: Pixels, plane: NDArray[np.float32]) -> None:
    height, width = pixels.shape
    for y in range(plane.shape[0]):
        row = pixels[min(y, height - 1)]
        for x in range(width):
            plane[y, x] = np.float32(row[x]) - np.float32(128)
        for x in range(width, plane.shape[1]):
            plane[y, x] = plane[y, width - 1]


@compiled
def _fill_colour(
    pixels: Pixels,
    side: int,
    luma: NDArray[np.float32],
    blue: NDArray[np.float32],
    red: NDArray[np.float32],
) -> None:
    """YCbCr planes of JFIF (full-range BT.601), unrounded; chroma is the mean of side x side pixels, as in libjpeg."""
    height, width, _ = pixels.shape
    for y in range(luma.shape[0]):
        row = pixels[min(y, height - 1)]
        for x in range(width):
            r, g, b = np.float32(row[x, 0]), np.float32(row[x, 1]), np.float32(row[x, 2])
            luma[y, x] = np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b - np.float32(128)
        for x in range(width, luma.shape[1]):
            luma[y, x] = luma[y, width - 1]
    weight = np.float32(1 / (side * side))
    whole = width // side
    for y in range(blue.shape[0]):
        first = pixels[min(y * side, height - 1)]
        second = pixels[min(y * side + side - 1, height - 1)]
        for x in range(blue.shape[1]):
            left = min(x * side, width - 1)
            if side == 1 or x >= whole:
                r = np.float32(first[left, 0]) + np.float32(second[left, 0])
                g = np.float32(first[left, 1]) + np.float32(second[left, 1])
                b = np.float32(first[left, 2]) + np.float32(second[left, 2])
                scale = np.float32(0.5)
            else:
                right = left + 1
                r = np.float32(first[left, 0]) + np.float32(first[right, 0])
                r += np.float32(second[left, 0]) + np.float32(second[right, 0])
                g = np.float32(first[left, 1]) + np.float32(first[right, 1])
                g += np.float32(second[left, 1]) + np.float32(second[right, 1])
                b = np.float32(first[left, 2]) + np.float32(first[right, 2])
                b += np.float32(second[left, 2]) + np.float32(second[right, 2])
                scale = weight
            blue[y, x] = scale * (np.float32(-0.168735892) * r - np.float32(0.331264108) * g + np.float32(0.5) * b)
            red[y, x] = scale * (np.float32(0.5) * r - np.float32(0.418687589) * g - np.float32(0.081312411) * b)


@compiled
def _transform(plane: NDArray[np.float32], blocks: NDArray[np.float32]) -> None:
    """Forward DCT of each 8x8 block."""
    columns = np.empty((8, 8), np.float32)
    natural = np.empty(64, np.float32)
    block = 0
    for top in range(0, plane.shape[0], 8):
        for left in range(0, plane.shape[1], 8):
            for k in range(8):
                for x in range(8):
                    columns[k, x] = DCT_BASIS[k, 0] * plane[top, left + x]
                for n in range(1, 8):
                    for x in range(8):
                        columns[k, x] += DCT_BASIS[k, n] * plane[top + n, left + x]
            for k in range(8):
                for m in range(8):
                    natural[8 * k + m] = columns[k, 0] * _DCT_BASIS_T[0, m]
                for x in range(1, 8):
                    for m in range(8):
                        natural[8 * k + m] += columns[k, x] * _DCT_BASIS_T[x, m]
            for i in range(64):
                blocks[block, i] = natural[ZIGZAG[i]]
            block += 1
