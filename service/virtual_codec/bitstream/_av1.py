"""Quantiser of an AV1 key frame (AV1 Bitstream & Decoding Process Specification, 5.9), read without decoding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from virtual_codec.bitstream._av1_sequence import SELECT, SequenceHeader, read_sequence
from virtual_codec.bitstream._bits import BitReader, EndOfBits
from virtual_codec.bitstream._quantisation import Quantisation

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_MAX_UNITS: Final = 64
_MAX_TILES: Final = 64  # across, and down

# Every sixteenth entry of Dc_Qlookup and Ac_Qlookup for 8-bit pictures (7.12.2), and the last; the others are
# interpolated linearly, and the first entry is where that line begins. Scaled to 8-bit samples, the tables of 10 and 12
# bits are the same.
_TABLE_INDICES: Final = (*range(0, 255, 16), 255)
_DC_STEPS: Final = (7, 20, 34, 48, 61, 74, 87, 111, 140, 177, 223, 280, 349, 435, 559, 796, 1336)
_AC_STEPS: Final = (7, 23, 39, 55, 71, 87, 104, 136, 176, 231, 305, 408, 550, 743, 1007, 1369, 1828)
_TRANSFORM_GAIN: Final = 8.0  # of the transforms


def av1_quantisation(data: bytes) -> Quantisation | None:
    """Quantisation of the first frame in AV1 data; None if it is not a key frame, or if its headers are truncated."""
    sequence: SequenceHeader | None = None
    try:
        for kind, payload in _units(data):
            if kind == _SEQUENCE_HEADER:
                sequence = read_sequence(BitReader(payload))
            elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
                return _read_frame(BitReader(payload), sequence)
    except EndOfBits:
        return None
    return None


def av1_code_points(data: bytes) -> tuple[int, int] | None:
    """Code points of primaries and transfer function in AV1 data (ITU-T H.273); None without a sequence header."""
    try:
        header = next((payload for kind, payload in _units(data) if kind == _SEQUENCE_HEADER), None)
        sequence = None if header is None else read_sequence(BitReader(header))
    except EndOfBits:
        return None
    return None if sequence is None else sequence.colour.points


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Open bitstream units: type and payload."""
    position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(data):
            return
        head = data[position]
        position += 2 if head & 4 else 1
        size = len(data) - position
        if head & 2:
            size, position = _leb128(data, position)
        yield head >> 3 & 15, data[position : position + size]
        position += size


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Number of up to eight bytes, seven bits each, and the position after it."""
    value = 0
    for place, byte in enumerate(data[position : position + 8]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, position + place + 1
    raise EndOfBits


def _read_frame(bits: BitReader, sequence: SequenceHeader) -> Quantisation | None:
    size = _read_start(bits, sequence)
    if size is None:
        return None
    _skip_tiles(bits, *size, sequence.superblock)
    index = bits.read(8)
    luma_dc = _delta(bits)
    chroma_dc = chroma_ac = 0
    if not sequence.colour.is_grey:
        if sequence.colour.separate_chroma:
            bits.read(1)
        chroma_dc, chroma_ac = _delta(bits), _delta(bits)
    return Quantisation(
        codec="avif",
        luma=(_quantiser_step(_DC_STEPS, index + luma_dc), _quantiser_step(_AC_STEPS, index)),
        chroma=(_quantiser_step(_DC_STEPS, index + chroma_dc), _quantiser_step(_AC_STEPS, index + chroma_ac)),
        is_subsampled=sequence.colour.is_subsampled,
        is_grey=sequence.colour.is_grey,
        index=index,
        is_lossless=index == luma_dc == chroma_dc == chroma_ac == 0,
    )


def _read_start(bits: BitReader, sequence: SequenceHeader) -> tuple[int, int] | None:
    """Size of a shown key frame; reads everything before the tiles. None for another frame."""
    if not sequence.is_reduced and (bits.flag() or bits.read(2) != 0 or not bits.flag()):
        return None
    keeps_statistics = bits.flag()
    screen_content = bits.read(1) if sequence.screen_content == SELECT else sequence.screen_content
    if screen_content and sequence.integer_mv == SELECT:
        bits.read(1)
    width, height = sequence.width, sequence.height
    if not sequence.is_reduced:
        bits.read(sequence.frame_id_bits)
        has_own_size = bits.flag()
        bits.read(sequence.order_hint_bits)
        if has_own_size:
            width, height = (bits.read(count) + 1 for count in sequence.size_bits)
    is_reduced_across = sequence.has_superres and bits.flag()
    if is_reduced_across:
        denominator = bits.read(3) + 9
        width = (width * 8 + denominator // 2) // denominator
    if bits.flag():
        bits.read(32)  # size to render at
    if screen_content and not is_reduced_across:
        bits.read(1)  # copying within the picture
    if not (sequence.is_reduced or keeps_statistics):
        bits.read(1)
    return width, height


def _skip_tiles(bits: BitReader, width: int, height: int, superblock: int) -> None:
    """Skip the division into tiles (5.9.15)."""
    across, down = (-(-2 * (-(-side // 8)) * 4 // superblock) for side in (width, height))
    widest, largest = 4096 // superblock, 4096 * 2304 // superblock**2
    least_across = _log2(widest, across)
    least = max(least_across, _log2(largest, across * down))
    if bits.flag():
        columns = _count_up(bits, least_across, _log2(1, min(across, _MAX_TILES)))
        rows = _count_up(bits, max(least - columns, 0), _log2(1, min(down, _MAX_TILES)))
    else:
        count, broadest = _skip_tile_sizes(bits, across, widest)
        columns = _log2(1, count)
        area = across * down >> (least + 1 if least else 0)
        rows = _log2(1, _skip_tile_sizes(bits, down, max(area // broadest, 1))[0])
    if columns or rows:
        bits.read(rows + columns + 2)


def _count_up(bits: BitReader, least: int, most: int) -> int:
    while least < most and bits.flag():
        least += 1
    return least


def _skip_tile_sizes(bits: BitReader, total: int, most: int) -> tuple[int, int]:
    """Number of tiles with individual sizes, and the largest size."""
    start = count = broadest = 0
    while start < total:
        size = bits.below(min(total - start, most)) + 1
        start, count, broadest = start + size, count + 1, max(broadest, size)
    return count, broadest


def _log2(unit: int, target: int) -> int:
    """Least number of doublings that take `unit` to `target`."""
    return max(0, math.ceil(math.log2(target / unit)))


def _delta(bits: BitReader) -> int:
    return bits.signed(7) if bits.flag() else 0


def _quantiser_step(table: tuple[int, ...], index: int) -> float:
    """Quantisation step of an index, in 8-bit samples of an orthonormal transform."""
    return float(np.interp(index, _TABLE_INDICES, table)) / _TRANSFORM_GAIN
