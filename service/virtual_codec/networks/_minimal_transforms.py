"""Transforms of Winograd's minimal filtering F(4x4, 3x3), as compiled loops.

The matrices are those of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308. Each is
applied along one axis after the other. Number of channels and size of a plane are constants of the compiled code: only
then does the compiler know that what a loop reads and what it writes lie apart, and uses vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from virtual_codec.compiled_loops import compiled, inlined

# The transform of the weights, G of the paper. Those of patches and products are written out below.
WEIGHTS: Final = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_ZERO, _TWO, _FOUR, _FIVE, _EIGHT = (np.float32(value) for value in (0, 2, 4, 5, 8))  # integers would make float64


@inlined
def _transform_patch(source: Any, start: int, stride: int, count: int, target: Any, to: int, spacing: int) -> None:
    """Transform 6 numbers of a patch, `stride` apart, to 6 numbers `spacing` apart, for `count` neighbours at once."""
    for k in range(count):
        a, b, c = source[start + k], source[start + stride + k], source[start + 2 * stride + k]
        d, e, f = source[start + 3 * stride + k], source[start + 4 * stride + k], source[start + 5 * stride + k]
        even, odd, even_far, odd_far = e - _FOUR * c, d - _FOUR * b, e - c, _TWO * (d - b)
        target[to + k] = _FOUR * a - _FIVE * c + e
        target[to + spacing + k] = even + odd
        target[to + 2 * spacing + k] = even - odd
        target[to + 3 * spacing + k] = even_far + odd_far
        target[to + 4 * spacing + k] = even_far - odd_far
        target[to + 5 * spacing + k] = _FOUR * b - _FIVE * d + f


@inlined
def _transform_products(source: Any, start: int, stride: int, count: int, target: Any, to: int, spacing: int) -> None:
    """Transform 6 products, `stride` apart, to 4 outputs `spacing` apart, for `count` neighbours at once."""
    for k in range(count):
        a, b, c = source[start + k], source[start + stride + k], source[start + 2 * stride + k]
        d, e, f = source[start + 3 * stride + k], source[start + 4 * stride + k], source[start + 5 * stride + k]
        even, odd, even_far, odd_far = b + c, b - c, d + e, d - e
        target[to + k] = a + even + even_far
        target[to + spacing + k] = odd + _TWO * odd_far
        target[to + 2 * spacing + k] = even + _FOUR * even_far
        target[to + 3 * spacing + k] = odd + _EIGHT * odd_far + f


@lru_cache(maxsize=16)
def to_planes_of(channels: int, blocks: int) -> Callable[..., None]:
    """Compiled transform of patches of that many channels to planes of that many blocks."""
    row = 6 * channels
    half = 6 * row
    plane = blocks * channels

    def to_planes(source: Any, first: int, count: int, across: int, planes: Any, scratch: Any) -> None:
        """Transform the patches of `count` blocks from number `first` on: [h, w, C] -> [36, blocks, C], flat.

        `across` is the number of blocks side by side; `scratch` has 72 C floats.
        """
        height, width = source.shape[0], source.shape[1]
        for block in range(count):
            top, left = (first + block) // across * 4 - 1, (first + block) % across * 4 - 1
            for i in range(6):
                for j in range(6):
                    to = i * row + j * channels
                    if top + i < 0 or top + i >= height or left + j < 0 or left + j >= width:
                        for k in range(channels):
                            scratch[to + k] = _ZERO
                    else:
                        for k in range(channels):
                            scratch[to + k] = source[top + i, left + j, k]
            _transform_patch(scratch, 0, row, row, scratch, half, row)
            for i in range(6):
                to = 6 * i * plane + block * channels
                _transform_patch(scratch, half + i * row, channels, channels, planes, to, plane)

    return compiled(to_planes)


@lru_cache(maxsize=16)
def to_blocks_of(channels: int, blocks: int) -> Callable[..., None]:
    """Compiled transform of planes of products of that many channels and blocks to the blocks of the output."""
    row = 6 * channels
    half = 6 * row
    plane = blocks * channels

    def to_blocks(
        products: Any,
        first: int,
        count: int,
        across: int,
        scale: Any,
        shift: Any,
        addend: Any,
        target: Any,
        scratch: Any,
    ) -> None:
        """Write `count` blocks from number `first` on: [36, blocks, C], flat -> [h, w, C].

        The output is `product + shift + addend` with an addend, [h, w, C], and `scale * product + shift`, rectified,
        without one.
        """
        height, width = target.shape[0], target.shape[1]
        for block in range(count):
            for j in range(6):
                _transform_products(
                    products, j * plane + block * channels, 6 * plane, channels, scratch, j * channels, row
                )
            top, left = (first + block) // across * 4, (first + block) % across * 4
            for i in range(min(4, height - top)):
                _transform_products(scratch, i * row, channels, channels, scratch, half, channels)
                for j in range(min(4, width - left)):
                    at = half + j * channels
                    if addend is None:
                        for k in range(channels):
                            value = scale[k] * scratch[at + k] + shift[k]
                            target[top + i, left + j, k] = value if value > _ZERO else _ZERO
                    else:
                        for k in range(channels):
                            value = scratch[at + k] + shift[k]
                            target[top + i, left + j, k] = value + addend[top + i, left + j, k]

    return compiled(to_blocks)
