"""Huffman coding of quantised levels into a JPEG file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs._compiled import compiled
from virtual_codec.codecs._huffman import HuffmanCode, best_code, bit_size, count_ac, count_dc


def file_of(
    *,
    width: int,
    height: int,
    luma_per_mcu: int,
    levels: Sequence[NDArray[np.int16]],
    last: Sequence[NDArray[np.int64]],
    tables: Sequence[NDArray[np.uint8]],
) -> bytes:
    """Baseline JPEG of one interleaved scan, with the shortest header that decoders read.

    `levels` ([blocks, 64] each, zig-zag, coding order) and `last` are per component; `tables` ([8, 8] each,
    natural order) are luma's and, with colour, chroma's. Luma and chroma share a table or a code where that
    is shorter. Without JFIF and Adobe markers, components 1, 2, 3 are read as YCbCr by decoders.
    """
    groups = [slice(0, 1)] if len(levels) == 1 else [slice(0, 1), slice(1, 3)]
    dc_codes, dc_of = _codes_for([counts_dc(levels[group]) for group in groups])
    ac_codes, ac_of = _codes_for([counts_ac(levels[group], last[group]) for group in groups])
    scan = _scan(luma_per_mcu, levels, last, [dc_codes[i] for i in dc_of], [ac_codes[i] for i in ac_of])

    if len(tables) == 2 and np.array_equal(tables[0], tables[1]):
        tables = tables[:1]
    quantisation = b"".join(bytes([i]) + table.ravel()[ZIGZAG].tobytes() for i, table in enumerate(tables))
    huffman = b"".join(bytes([i]) + code.segment for i, code in enumerate(dc_codes))
    huffman += b"".join(bytes([0x10 | i]) + code.segment for i, code in enumerate(ac_codes))
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(levels)])
    selectors = bytes([len(levels)])
    for i in range(len(levels)):
        group = min(i, 1)
        frame += bytes([i + 1, 0x22 if luma_per_mcu == 4 and i == 0 else 0x11, min(group, len(tables) - 1)])
        selectors += bytes([i + 1, (dc_of[group] << 4) | ac_of[group]])
    header = b"\xff\xd8" + _segment(0xDB, quantisation) + _segment(0xC0, frame) + _segment(0xC4, huffman)
    return header + _segment(0xDA, selectors + bytes([0, 63, 0])) + scan + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def counts_dc(levels: Sequence[NDArray[np.int16]]) -> NDArray[np.int64]:
    """Counts of the DC symbols ([256]) of components that share a code."""
    counts = np.zeros(256, np.int64)
    for component in levels:
        count_dc(component, counts)
    return counts


def counts_ac(levels: Sequence[NDArray[np.int16]], last: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Counts of the AC symbols ([256]) of components that share a code."""
    counts = np.zeros(256, np.int64)
    for component, ends in zip(levels, last, strict=True):
        count_ac(component, ends, counts)
    return counts


def _codes_for(counts: Sequence[NDArray[np.int64]]) -> tuple[list[HuffmanCode], list[int]]:
    """Huffman codes to write, and the index of the code that each group of components uses."""
    own = [best_code(group) for group in counts]
    if len(own) == 1:
        return own, [0]
    shared = best_code(counts[0] + counts[1])
    if shared.total_bits <= own[0].total_bits + own[1].total_bits:
        return [shared], [0, 0]
    return own, [0, 1]


def _scan(
    luma_per_mcu: int,
    levels: Sequence[NDArray[np.int16]],
    last: Sequence[NDArray[np.int64]],
    dc: Sequence[HuffmanCode],
    ac: Sequence[HuffmanCode],
) -> bytes:
    bits = sum({id(code): code.coded_bits for code in (*dc, *ac)}.values())
    out = np.empty(bits // 4 + 16, np.uint8)  # a stuffed byte takes two
    blue, red = (1, 2) if len(levels) == 3 else (0, 0)
    size = _write_scan(
        luma_per_mcu,
        len(levels) == 3,
        levels[0],
        levels[blue],
        levels[red],
        last[0],
        last[blue],
        last[red],
        dc[0].table,
        dc[-1].table,
        ac[0].table,
        ac[-1].table,
        out,
    )
    return out[:size].tobytes()


@compiled
def _write_scan(
    luma_per_mcu: int,
    has_chroma: bool,
    luma: NDArray[np.int16],
    blue: NDArray[np.int16],
    red: NDArray[np.int16],
    luma_last: NDArray[np.int64],
    blue_last: NDArray[np.int64],
    red_last: NDArray[np.int64],
    luma_dc: NDArray[np.int64],
    chroma_dc: NDArray[np.int64],
    luma_ac: NDArray[np.int64],
    chroma_ac: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    state = np.zeros(3, np.int64)  # bits not yet written, how many, bytes written
    before = np.zeros(3, np.int64)
    block = 0
    for mcu in range(len(luma) // luma_per_mcu):
        for _ in range(luma_per_mcu):
            _put_block(luma[block], luma_last[block], before[0], luma_dc, luma_ac, state, out)
            before[0] = luma[block, 0]
            block += 1
        if has_chroma:
            _put_block(blue[mcu], blue_last[mcu], before[1], chroma_dc, chroma_ac, state, out)
            before[1] = blue[mcu, 0]
            _put_block(red[mcu], red_last[mcu], before[2], chroma_dc, chroma_ac, state, out)
            before[2] = red[mcu, 0]
    if state[1]:
        _put((1 << (8 - state[1])) - 1, 8 - state[1], state, out)
    return int(state[2])


@compiled
def _put_block(
    levels: NDArray[np.int16],
    end: int,
    before: int,
    dc: NDArray[np.int64],
    ac: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    difference = levels[0] - before
    size = bit_size(difference)
    _put((dc[1, size] << size) | _magnitude(difference, size), dc[0, size] + size, state, out)
    run = 0
    for k in range(1, end + 1):
        level = levels[k] + 0  # as wide as a difference
        if level == 0:
            run += 1
            continue
        while run > 15:
            _put(ac[1, 0xF0], ac[0, 0xF0], state, out)
            run -= 16
        size = bit_size(level)
        symbol = (run << 4) | size
        _put((ac[1, symbol] << size) | _magnitude(level, size), ac[0, symbol] + size, state, out)
        run = 0
    if end < 63:
        _put(ac[1, 0], ac[0, 0], state, out)


@compiled
def _magnitude(value: int, size: int) -> int:
    """Magnitude bits of a value: its rank among the values of its size."""
    return value if value >= 0 else value + (1 << size) - 1


@compiled
def _put(bits: int, count: int, state: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    held, held_count, size = (state[0] << count) | bits, state[1] + count, state[2]
    while held_count >= 8:
        held_count -= 8
        byte = held >> held_count
        out[size] = byte
        size += 1
        if byte == 0xFF:
            out[size] = 0
            size += 1
        held &= (1 << held_count) - 1
    state[0], state[1], state[2] = held, held_count, size
