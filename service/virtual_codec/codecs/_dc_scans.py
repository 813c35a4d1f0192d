"""DC scans of a progressive JPEG, recoded: luma's blocks in raster order, apart from chroma's.

In a scan of all components, blocks are ordered by MCUs. With subsampled chroma every second luma DC is then predicted
from a diagonal neighbour. In its own scan, each luma DC is predicted from the left neighbour, which mostly takes 1 to 6
% fewer bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream
from virtual_codec.codecs import _scan_walk
from virtual_codec.codecs._entropy import counts_dc, segment_of, write_dc
from virtual_codec.codecs._huffman import best_code
from virtual_codec.codecs._scans import codes_in, lookup_table, unstuffed_pieces
from virtual_codec.compiled_loops import compiled

_SOF2, _DHT, _DRI, _SOS = 0xC2, 0xC4, 0xDD, 0xDA
_HALVED_CHROMA = b"\x01\x22", b"\x02\x11", b"\x03\x11"  # identifier and sampling factors of each component
_DC_SPECTRAL_SELECTION = bytes([0, 0, 0])  # the last bytes of a scan header: levels 0 to 0, all of their bits


def with_separate_dc(progressive: bytes) -> bytes:
    """Same picture with its first scan, of all DCs, split into one of luma and one of chroma.

    The file is returned unchanged if its chroma is not subsampled, its first scan has other contents, or the result is
    not smaller. It must come from an encoder that writes no restarts.
    """
    segments = list(bitstream.segments(progressive, len(progressive)))
    at = next((i for i, each in enumerate(segments) if each.marker == _SOS), None)
    frame = next((each for each in segments if each.marker == _SOF2), None)
    if at is None or frame is None or any(each.marker == _DRI for each in segments):
        return progressive
    first, following = segments[at], segments[at + 1]
    selectors, body = progressive[first.start + 4 : first.end], progressive[frame.start + 4 : frame.end]
    if selectors[1:-3:2] != b"\x01\x02\x03" or selectors[-3:] != _DC_SPECTRAL_SELECTION:
        return progressive
    if (body[6:8], body[9:11], body[12:14]) != _HALVED_CHROMA:
        return progressive
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    codes = [each for each in segments[:at] if each.marker == _DHT]
    books = dict(pair for each in codes for pair in codes_in(progressive[each.start + 4 : each.end]))
    if any(name & 0x10 for name in books):
        return progressive
    levels = _levels(memoryview(progressive)[first.end : following.start], selectors, books, height, width)
    kept = b"".join(progressive[each.start : each.end] for each in segments[:at] if each.marker != _DHT)
    scans = b"".join(_scan(levels, components, code) for components, code in (((0,), 0), ((1, 2), 1)))
    return min(progressive, b"\xff\xd8" + kept + scans + progressive[following.start :], key=len)


def _scan(levels: Sequence[NDArray[np.int16]], components: tuple[int, ...], number: int) -> bytes:
    """DHT segment, scan header and data of the DCs of some components."""
    chosen = [levels[i] for i in components]
    code = best_code(counts_dc(chosen))
    selectors = bytes([len(chosen)]) + b"".join(bytes([i + 1, number << 4]) for i in components)
    header = segment_of(_DHT, bytes([number]) + code.segment) + segment_of(_SOS, selectors + _DC_SPECTRAL_SELECTION)
    return header + write_dc(chosen, code)


def _levels(
    data: memoryview, selectors: bytes, books: dict[int, bytes], height: int, width: int
) -> list[NDArray[np.int16]]:
    """DCs of each component ([blocks, 1]) in raster order, only of blocks with samples of the image."""
    bits, _, _ = unstuffed_pieces(data)
    luma, blue, red = (lookup_table(books, selectors[2 + 2 * i] >> 4, in_steps=False) for i in range(3))
    rows, columns = -(-height // 16), -(-width // 16)
    planes = [np.zeros((2 * rows, 2 * columns), np.int16)] + [np.zeros((rows, columns), np.int16) for _ in range(2)]
    _read(bits, luma, blue, red, *planes)
    planes[0] = planes[0][: -(-height // 8), : -(-width // 8)]
    return [plane.reshape(-1, 1) for plane in planes]


@compiled
def _read(
    bits: NDArray[np.uint8],
    luma_code: NDArray[np.uint16],
    blue_code: NDArray[np.uint16],
    red_code: NDArray[np.uint16],
    luma: NDArray[np.int16],
    blue: NDArray[np.int16],
    red: NDArray[np.int16],
) -> None:
    """Read a scan of all DCs into planes [rows, columns], luma's twice as wide and high."""
    at = 0
    before_luma = before_blue = before_red = 0
    for y in range(blue.shape[0]):
        for x in range(blue.shape[1]):
            for part in range(4):
                difference, at = _difference(bits, at, luma_code)
                before_luma += difference
                luma[2 * y + part // 2, 2 * x + part % 2] = before_luma
            difference, at = _difference(bits, at, blue_code)
            before_blue += difference
            blue[y, x] = before_blue
            difference, at = _difference(bits, at, red_code)
            before_red += difference
            red[y, x] = before_red


@compiled
def _difference(bits: NDArray[np.uint8], at: int, code: NDArray[np.uint16]) -> tuple[int, int]:
    """DC difference that begins at a bit, and the index of the bit after it."""
    entry = int(code[_read_bits(bits, at, 16)])
    length, size = entry & ((1 << _scan_walk.STEP_BITS) - 1), entry >> _scan_walk.STEP_BITS
    at += length
    if size == 0:
        return 0, at
    value = _read_bits(bits, at, size)
    return (value if value >> (size - 1) else value - (1 << size) + 1), at + size


@compiled
def _read_bits(bits: NDArray[np.uint8], at: int, count: int) -> int:
    """Integer of `count` bits, 24 at most, from bit index `at` on."""
    byte = at >> 3
    window = (int(bits[byte]) << 24) | (int(bits[byte + 1]) << 16) | (int(bits[byte + 2]) << 8) | int(bits[byte + 3])
    return (window >> (32 - (at & 7) - count)) & ((1 << count) - 1)
