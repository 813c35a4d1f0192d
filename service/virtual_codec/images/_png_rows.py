"""PNG rows of 16-bit samples, which Pillow would narrow before colours can be converted. zlib inflates them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.compiled_loops import compiled
from virtual_codec.errors import UndecodableImage

_BAND_BYTES: Final = 1 << 22
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def read_16_bit_rows(
    deflated: Iterator[bytes], width: int, height: int, channels: int, *, is_interlaced: bool
) -> Iterator[NDArray[np.uint16]]:
    """Rows of a PNG of 16 bits a sample, in bands [rows, width, channels]. Raises `UndecodableImage`."""
    inflated = _Inflated(deflated)
    if not is_interlaced:
        yield from _rows(inflated, width, height, channels)
        return
    picture = np.empty((height, width, channels), np.uint16)
    for left, top, step_x, step_y in _ADAM7:
        across, down = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if across > 0 and down > 0:
            bands = list(_rows(inflated, across, down, channels))
            picture[top::step_y, left::step_x] = np.concatenate(bands)
    yield picture


class _Inflated:
    """Inflated bytes of a PNG's data chunks, in portions of a requested size."""

    def __init__(self, deflated: Iterator[bytes]) -> None:
        self._deflated = deflated
        self._stream = zlib.decompressobj()
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing:
            if not self._rest:
                self._rest = next(self._deflated, b"")
                if not self._rest:
                    break
            try:
                part = self._stream.decompress(self._rest, missing)
            except zlib.error as error:
                raise UndecodableImage("the PNG is damaged: its pixels cannot be inflated") from error
            self._rest = self._stream.unconsumed_tail
            if not part and self._stream.eof:
                break
            parts.append(part)
            missing -= len(part)
        if missing:
            raise UndecodableImage("the PNG is truncated: its last rows are missing")
        return b"".join(parts)


def _rows(inflated: _Inflated, width: int, height: int, channels: int) -> Iterator[NDArray[np.uint16]]:
    row_bytes = 2 * channels * width
    above = np.zeros(row_bytes, np.uint8)
    rows = max(1, _BAND_BYTES // row_bytes)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        band = np.frombuffer(inflated.read(count * (1 + row_bytes)), np.uint8).reshape(count, 1 + row_bytes)
        if band[:, 0].max() > 4:
            raise UndecodableImage("the PNG is damaged: a row has an unknown filter")
        samples = band[:, 1:].copy()
        _unfilter(band[:, 0].copy(), samples, above, 2 * channels)
        above = samples[-1].copy()
        yield samples.view(">u2").astype(np.uint16).reshape(count, width, channels)


@compiled
def _unfilter(filters: NDArray[np.uint8], rows: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> None:
    """Undo the filters of rows in place (PNG, clause 9); `step` is bytes per pixel."""
    for y in range(len(rows)):
        kind = filters[y]
        for x in range(rows.shape[1]):
            a = int(rows[y, x - step]) if x >= step else 0
            b = int(rows[y - 1, x]) if y else int(above[x])
            c = 0
            if x >= step:
                c = int(rows[y - 1, x - step]) if y else int(above[x - step])
            predicted = 0
            if kind == 1:
                predicted = a
            elif kind == 2:
                predicted = b
            elif kind == 3:
                predicted = (a + b) >> 1
            elif kind == 4:
                p, q, r = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                predicted = a if p <= q and p <= r else (b if q <= r else c)
            rows[y, x] = (int(rows[y, x]) + predicted) & 255
