"""Quantiser of a lossy WebP (VP8 key frame, RFC 6386), read without decoding."""

from __future__ import annotations

from typing import Final, final

import numpy as np

from virtual_codec.bitstream._quantisation import Quantisation
from virtual_codec.bitstream._riff import chunks

_HEADER_BYTES: Final = 10
_MAX_READ_BYTES: Final = 128  # probability of the fields read here, whose bits are equally likely

# Every sixteenth entry of dc_qlookup and ac_qlookup (14.1), and the last; the others are interpolated linearly.
_TABLE_INDICES: Final = (*range(0, 127, 16), 127)
_DC_STEPS: Final = (4, 18, 29, 44, 59, 75, 91, 122, 157)
_AC_STEPS: Final = (4, 20, 36, 52, 78, 110, 155, 213, 284)
_TRANSFORM_GAIN: Final = 2.0  # of the 4x4 transforms


def vp8_quantisation(file: bytes) -> Quantisation | None:
    """Quantisation of a still WebP; None if it has no readable picture.

    If the frame is divided into segments, it is the mean over their quantisers.
    """
    for kind, body in chunks(file):
        if kind == b"VP8L":
            return Quantisation(codec="webp", luma=(1.0, 1.0), chroma=(1.0, 1.0), is_subsampled=False, is_lossless=True)
        if kind == b"VP8 ":
            return _read_frame(body)
    return None


def _read_frame(body: bytes) -> Quantisation | None:
    if len(body) < _HEADER_BYTES + 2 or body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
        return None
    bits = _BoolReader(body[_HEADER_BYTES : _HEADER_BYTES + _MAX_READ_BYTES])
    bits.read(2)  # colour space, clamping
    indices: list[int] | None = None
    is_absolute = False
    if bits.read(1):
        indices, is_absolute = _read_segments(bits)
    bits.read(1)  # kind of loop filter
    filter_level = bits.read(6)
    bits.read(3)  # sharpness
    _skip_filter_deltas(bits)
    bits.read(2)  # partitions
    index = bits.read(7)
    luma_dc, _, _, chroma_dc, chroma_ac = (bits.optional(4) for _ in range(5))
    used = [index] if indices is None else indices if is_absolute else [index + each for each in indices]
    return Quantisation(
        codec="webp",
        luma=(_mean(_DC_STEPS, used, luma_dc), _mean(_AC_STEPS, used, 0)),
        chroma=(_mean(_DC_STEPS, used, chroma_dc), _mean(_AC_STEPS, used, chroma_ac)),
        is_subsampled=True,
        index=index,
        filter_level=filter_level,
    )


def _read_segments(bits: _BoolReader) -> tuple[list[int] | None, bool]:
    """Quantisers of the four segments, if stated, and whether they are absolute (9.3)."""
    has_map, has_values = bits.read(1), bits.read(1)
    quantisers: list[int] | None = None
    is_absolute = False
    if has_values:
        is_absolute = bits.read(1) == 1
        quantisers = [bits.optional(7) for _ in range(4)]
        for _ in range(4):
            bits.optional(6)
    if has_map:
        for _ in range(3):
            if bits.read(1):
                bits.read(8)
    return quantisers, is_absolute


def _skip_filter_deltas(bits: _BoolReader) -> None:
    if bits.read(1) and bits.read(1):
        for _ in range(8):
            bits.optional(6)


def _mean(table: tuple[int, ...], indices: list[int], delta: int) -> float:
    """Geometric mean of the steps of some indices, in samples of an orthonormal transform."""
    steps = np.interp([index + delta for index in indices], _TABLE_INDICES, table)
    return float(np.exp(np.log(steps).mean())) / _TRANSFORM_GAIN


@final
class _BoolReader:
    """Arithmetic decoder of RFC 6386 (7.3), for header fields of even probability. After the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 2
        self._value = int.from_bytes(data[:2], "big")
        self._range = 255
        self._shifts = 0

    def read(self, count: int) -> int:
        """Unsigned number of `count` bits."""
        value = 0
        for _ in range(count):
            value = value << 1 | self._bit()
        return value

    def optional(self, count: int) -> int:
        """Signed number after a flag that says whether it is present; 0 if it is not."""
        if not self._bit():
            return 0
        value = self.read(count)
        return -value if self._bit() else value

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        is_one = self._value >= split << 8
        if is_one:
            self._range -= split
            self._value -= split << 8
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._shifts += 1
            if self._shifts == 8:
                self._shifts = 0
                if self._position < len(self._data):
                    self._value |= self._data[self._position]
                self._position += 1
        return int(is_one)
