"""Completeness check of a scan: reads its Huffman codes to the end, without keeping levels or pixels.

A code is looked up by the next 16 bits. The only state is the index of the next bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.compiled_loops import compiled

SEQUENTIAL, DC, DC_REFINEMENT, AC, AC_REFINEMENT = range(5)

PADDING_BYTES: Final = 512  # a block has at most 64 codes of 31 bits, and is read to its end before it is checked
STEP_BITS: Final = 5  # bits of a table entry that hold the length of a code
NO_CODE: Final = 192  # more levels than all codes of one block can skip


@compiled
def split(data: NDArray[np.uint8], bits: NDArray[np.uint8], ends: NDArray[np.int64], marks: NDArray[np.uint8]) -> int:
    """Copy a scan's `data` to `bits` without stuffing, cut at restart markers; return the number of those.

    Piece i ends before bit `ends[i]`, with restart marker number `marks[i]`. The last piece ends with the data, or
    before any other marker.
    """
    size = found = 0
    at = 0
    while at < len(data):
        byte = data[at]
        at += 1
        if byte == 0xFF:
            while at < len(data) and data[at] == 0xFF:
                at += 1
            marker = data[at] if at < len(data) else np.uint8(0xFF)
            at += 1
            if 0xD0 <= marker <= 0xD7:
                ends[found], marks[found] = 8 * size, marker & 7
                found += 1
                continue
            if marker != 0:
                break
        bits[size] = byte
        size += 1
    ends[found] = 8 * size
    return found


@compiled
def is_complete(
    bits: NDArray[np.uint8],
    ends: NDArray[np.int64],
    marks: NDArray[np.uint8],
    kind: int,
    band: tuple[int, int],
    dc: NDArray[np.uint16],
    ac: NDArray[np.uint16],
    dc_of: NDArray[np.int64],
    ac_of: NDArray[np.int64],
    mcus: int,
    interval: int,
    nonzero: NDArray[np.int64],
) -> bool:
    """True if the output of `split` holds all MCUs of a scan, in codes that exist.

    `dc` and `ac` are lookup tables by the next 16 bits ([tables, 65536]); `dc_of` and `ac_of` are the indices of the
    tables that each block of an MCU uses. Progressive AC scans have one table, whose entries are symbols; all other
    entries are steps. `interval` is in MCUs, 0 for no restarts. `nonzero` has a bit per block for each level that is
    nonzero so far; it is carried from one scan of bands to the next.
    """
    at = piece = restarts = run = 0
    for mcu in range(mcus):
        if interval and mcu and mcu % interval == 0:
            piece = _after_restart(marks, piece, restarts & 7)
            if piece < 0:
                return False
            at, run = ends[piece - 1], 0
            restarts += 1
        for unit in range(len(dc_of)):
            if kind == SEQUENTIAL:
                at = _block(bits, at, dc, dc_of[unit], ac, ac_of[unit])
            elif kind == DC:
                at = _step(bits, at, dc, dc_of[unit])
            elif kind == DC_REFINEMENT:
                at += 1
            elif run and (kind == AC or nonzero[mcu] == 0):
                run -= 1
            elif kind == AC:
                at, run = _band(bits, at, ac, band, nonzero, mcu)
            else:
                at, run = _refinement(bits, at, ac, band, run, nonzero, mcu)
            if at < 0 or at > ends[piece]:
                return False
    return True


@compiled
def _after_restart(marks: NDArray[np.uint8], piece: int, expected: int) -> int:
    """Piece after the restart marker expected at the end of `piece`, or -1 if that marker or its data is lost.

    A marker with a wrong number is treated as in libjpeg: one of the next two numbers means that the expected marker is
    lost, one of the last two is skipped, any other counts as the expected one.
    """
    while piece < len(marks):
        ahead = (marks[piece] - expected) & 7
        piece += 1
        if ahead in (1, 2):
            return -1
        if ahead not in (6, 7):
            return piece
    return -1


@compiled
def _block(
    bits: NDArray[np.uint8], at: int, dc: NDArray[np.uint16], dc_table: int, ac: NDArray[np.uint16], ac_table: int
) -> int:
    """Bit index after a sequential block, or -1 after an invalid code."""
    step = dc[dc_table, _next_16(bits, at)]
    at += step & 31
    k = step >> STEP_BITS
    while k < 64:
        step = ac[ac_table, _next_16(bits, at)]
        at += step & 31
        k += step >> STEP_BITS
    return at if k < NO_CODE else -1


@compiled
def _step(bits: NDArray[np.uint8], at: int, dc: NDArray[np.uint16], table: int) -> int:
    step = dc[table, _next_16(bits, at)]
    return at + (step & 31) if step >> STEP_BITS < NO_CODE else -1


@compiled
def _band(
    bits: NDArray[np.uint8],
    at: int,
    codes: NDArray[np.uint16],
    band: tuple[int, int],
    nonzero: NDArray[np.int64],
    block: int,
) -> tuple[int, int]:
    """Bit index after a block's band, and the number of following blocks whose bands are empty."""
    k, run, mask = band[0], 0, nonzero[block]
    while k <= band[1]:
        code = codes[0, _next_16(bits, at)]
        if code == 0:
            return -1, 0
        at += code & 31
        size, zeros = (code >> STEP_BITS) & 15, code >> (STEP_BITS + 4)
        if size:
            k += zeros
            mask |= 1 << (k & 63)
            at += size
        elif zeros == 15:
            k += 15
        else:
            run = (1 << zeros) - 1 + (_next_16(bits, at) >> (16 - zeros))
            at += zeros
            break
        k += 1
    nonzero[block] = mask
    return at, run


@compiled
def _refinement(
    bits: NDArray[np.uint8],
    at: int,
    codes: NDArray[np.uint16],
    band: tuple[int, int],
    run: int,
    nonzero: NDArray[np.int64],
    block: int,
) -> tuple[int, int]:
    """Bit index and run as from `_band`, for a refinement scan: each skipped nonzero level has its own bit."""
    k, mask = band[0], nonzero[block]
    while run == 0 and k <= band[1]:
        code = codes[0, _next_16(bits, at)]
        size, zeros = (code >> STEP_BITS) & 15, code >> (STEP_BITS + 4)
        if code == 0 or size > 1:
            return -1, 0
        at += code & 31
        if size:
            at += 1  # its sign
        elif zeros < 15:
            run = (1 << zeros) + (_next_16(bits, at) >> (16 - zeros))
            at += zeros
            break
        while k <= band[1]:
            if (mask >> k) & 1:
                at += 1
            elif zeros == 0:
                break
            else:
                zeros -= 1
            k += 1
        if size and k <= band[1]:
            mask |= 1 << k
        k += 1
    if run:
        run -= 1
        rest = (mask >> k) & ((1 << (band[1] + 1 - k)) - 1)
        while rest:
            rest &= rest - 1
            at += 1
    nonzero[block] = mask
    return at, run


@compiled
def _next_16(bits: NDArray[np.uint8], at: int) -> int:
    byte = at >> 3
    held = (np.int64(bits[byte]) << 16) | (np.int64(bits[byte + 1]) << 8) | np.int64(bits[byte + 2])
    return int((held >> (8 - (at & 7))) & 0xFFFF)
