"""PNG writer, several times faster than the usual libraries, with files as small as at their fastest level."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from virtual_codec.images import _png

_BLOCK_SAMPLES = 1 << 15  # rows filtered at a time, so that the temporary arrays stay in the cache
_PAETH = 4


class Deflate(Protocol):
    """Compressor of a zlib stream."""

    def compress(self, rows: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def stdlib_deflate() -> Deflate:
    """Compressor of the standard library, which is always available."""
    return zlib.compressobj(1)


def _fastest_deflate() -> Callable[[], Deflate]:
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this machine: 50 ms a megapixel instead of 14, same file size
        return stdlib_deflate
    return lambda: isal_zlib.compressobj(3)


FASTEST_DEFLATE = _fastest_deflate()


def write_png(pixels: NDArray[np.uint8], deflate: Callable[[], Deflate] = FASTEST_DEFLATE) -> bytes:
    """Write a PNG of [H, W, 3] sRGB or [H, W] grey. All rows use the Paeth filter, because choosing filters is slow."""
    stream = deflate()
    deflated = [stream.compress(rows.data) for rows in _filtered(pixels)]
    deflated.append(stream.flush())
    height, width = pixels.shape[:2]
    kind = _png.GREY if pixels.ndim == 2 else _png.COLOUR
    return _png.header(width, height, kind) + _png.trailer(b"".join(deflated))


def _filtered(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Filtered rows, [rows, 1 + samples], some at a time in a reused buffer.

    Paeth's predictor is the one of left (a), up (b) and up-left (c) that is closest to a + b - c.
    """
    height = len(pixels)
    samples = pixels.reshape(height, -1)
    step, width = samples.shape[1] // pixels.shape[1], samples.shape[1]
    most = max(1, _BLOCK_SAMPLES // width)
    padded = np.zeros((most + 1, step + width), np.uint8)  # a row above and a pixel to the left, zero at first
    filtered = np.full((most, 1 + width), _PAETH, np.uint8)
    to_a, to_b, to_c = np.empty((3, most, width), np.int16)
    predicted, chosen = np.empty((2, most, width), np.uint8)
    for top in range(0, height, most):
        count = min(most, height - top)
        padded[0, step:] = samples[top - 1] if top else 0
        padded[1 : count + 1, step:] = samples[top : top + count]
        a, b, c = padded[1 : count + 1, :-step], padded[:count, step:], padded[:count, :-step]
        p, q, r = to_a[:count], to_b[:count], to_c[:count]
        best, mask = predicted[:count], chosen[:count]
        np.subtract(b, c, out=p, dtype=np.int16)
        np.subtract(a, c, out=q, dtype=np.int16)
        np.add(p, q, out=r)
        for distance in (p, q, r):
            np.abs(distance, out=distance)
        np.less_equal(q, r, out=mask.view(np.bool_))
        _choose(b, c, mask, out=best)
        np.minimum(q, r, out=r)
        np.less_equal(p, r, out=mask.view(np.bool_))
        _choose(a, best.copy(), mask, out=best)
        np.subtract(padded[1 : count + 1, step:], best, out=filtered[:count, 1:])
        yield filtered[:count]


def _choose(
    one: NDArray[np.uint8], other: NDArray[np.uint8], mask: NDArray[np.uint8], *, out: NDArray[np.uint8]
) -> None:
    """Select `one` where `mask` is 1, `other` where it is 0, bitwise: five times faster than `np.where`."""
    np.negative(mask, out=mask)
    np.bitwise_xor(one, other, out=out)
    np.bitwise_and(out, mask, out=out)
    np.bitwise_xor(out, other, out=out)
