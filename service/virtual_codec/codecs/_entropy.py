"""Huffman coding of quantised levels into a JPEG file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs._huffman import HuffmanCode, best_code, bit_size, count_ac, count_dc
from virtual_codec.compiled_loops import compiled


def file_of(
    *,
    width: int,
    height: int,
    side: int,
    levels: Sequence[NDArray[np.int16]],
    last: Sequence[NDArray[np.int64]],
    tables: Sequence[NDArray[np.uint8]],
) -> bytes:
    """Baseline JPEG with the shortest header that decoders accept, in the scan order that takes fewer bytes.

    `levels` ([blocks, 64] each, zig-zag, raster order) and `last` are per component; an MCU has `side` x `side` blocks
    of luma. `tables` ([8, 8] each, natural order) are luma's and, with colour, chroma's. Luma and chroma share a table
    or a code if that is shorter. Decoders read components 1, 2, 3 without JFIF and Adobe markers as YCbCr.
    """
    plan = min(_plans(width, side, levels, last), key=lambda each: each.total_bits)
    if len(tables) == 2 and np.array_equal(tables[0], tables[1]):
        tables = tables[:1]
    quantisation = b"".join(bytes([i]) + table.ravel()[ZIGZAG].tobytes() for i, table in enumerate(tables))
    huffman = b"".join(bytes([i]) + code.segment for i, code in enumerate(plan.dc.codes))
    huffman += b"".join(bytes([0x10 | i]) + code.segment for i, code in enumerate(plan.ac.codes))
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(levels)])
    for i in range(len(levels)):
        frame += bytes([i + 1, (17 * side) if i == 0 else 17, min(i, len(tables) - 1)])
    header = b"\xff\xd8" + segment_of(0xDB, quantisation) + segment_of(0xC0, frame) + segment_of(0xC4, huffman)
    return header + b"".join(plan.scan_bytes(scan) for scan in plan.scans) + b"\xff\xd9"


@dataclass(frozen=True, kw_only=True)
class _Codes:
    """Codes to write for the DC or the AC symbols, and the code of luma and of chroma."""

    codes: tuple[HuffmanCode, ...]
    of: tuple[int, ...]

    @staticmethod
    def best(counts: Sequence[NDArray[np.int64]]) -> _Codes:
        """Codes for the counts ([256] each) of luma and, with colour, chroma."""
        own = tuple(best_code(group) for group in counts)
        if len(own) == 1:
            return _Codes(codes=own, of=(0,))
        shared = best_code(counts[0] + counts[1])
        if shared.total_bits <= own[0].total_bits + own[1].total_bits:
            return _Codes(codes=(shared,), of=(0, 0))
        return _Codes(codes=own, of=(0, 1))

    def code_of(self, component: int) -> HuffmanCode:
        """Code of a component."""
        return self.codes[self.of[min(component, 1)]]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Order of the scans, each a tuple of components, with the levels in that order and their codes."""

    scans: tuple[tuple[int, ...], ...]
    luma_per_mcu: int
    levels: tuple[NDArray[np.int16], ...]
    last: tuple[NDArray[np.int64], ...]
    dc: _Codes
    ac: _Codes

    @property
    def total_bits(self) -> int:
        """Bits of the scans, their headers and their codes."""
        codes = self.dc.codes + self.ac.codes
        return sum(code.total_bits for code in codes) + sum(8 * (8 + 2 * len(scan)) for scan in self.scans)

    def scan_bytes(self, scan: tuple[int, ...]) -> bytes:
        """Header and data of a scan."""
        selectors = bytes([len(scan)])
        for i in scan:
            selectors += bytes([i + 1, (self.dc.of[min(i, 1)] << 4) | self.ac.of[min(i, 1)]])
        luma_per_mcu = (self.luma_per_mcu if len(scan) > 1 else 1) if 0 in scan else 0
        has_chroma = 2 in scan
        blue, red = (1, 2) if has_chroma else (0, 0)
        bits = sum(code.coded_bits for code in self.dc.codes + self.ac.codes)
        out = np.empty(bits // 4 + 16, np.uint8)  # a stuffed byte takes two
        size = _write_scan(
            luma_per_mcu,
            has_chroma,
            self.levels[0],
            self.levels[blue],
            self.levels[red],
            self.last[0],
            self.last[blue],
            self.last[red],
            self.dc.code_of(0).table,
            self.dc.code_of(blue).table,
            self.ac.code_of(0).table,
            self.ac.code_of(blue).table,
            out,
        )
        return segment_of(0xDA, selectors + bytes([0, 63, 0])) + out[:size].tobytes()


def _plans(
    width: int, side: int, levels: Sequence[NDArray[np.int16]], last: Sequence[NDArray[np.int64]]
) -> Iterator[_Plan]:
    """One scan of all components and, if chroma is subsampled, a scan of luma before one of chroma.

    In its own scan, luma's blocks are in raster order, so that each DC is predicted from its left neighbour. In MCUs of
    2 x 2 blocks every second DC is predicted from a diagonal neighbour. The second scan costs a second header.
    """
    groups = [slice(0, 1)] if len(levels) == 1 else [slice(0, 1), slice(1, 3)]

    def plan(
        scans: tuple[tuple[int, ...], ...], levels: Sequence[NDArray[np.int16]], last: Sequence[NDArray[np.int64]]
    ) -> _Plan:
        return _Plan(
            scans=scans,
            luma_per_mcu=side * side,
            levels=tuple(levels),
            last=tuple(last),
            dc=_Codes.best([counts_dc(levels[group]) for group in groups]),
            ac=_Codes.best([counts_ac(levels[group], last[group]) for group in groups]),
        )

    if side > 1:
        yield plan(((0,), (1, 2)), levels, last)
        luma, luma_last = _in_mcus(levels[0], last[0], -(-width // 8))
        levels, last = [luma, *levels[1:]], [luma_last, *last[1:]]
    yield plan((tuple(range(len(levels))),), levels, last)


def _in_mcus(
    levels: NDArray[np.int16], last: NDArray[np.int64], columns: int
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Levels and end indices by MCUs of 2 x 2 blocks; a block outside the picture repeats the previous DC."""
    rows = len(levels) // columns
    high, wide = -(-rows // 2), -(-columns // 2)
    index = np.full((2 * high, 2 * wide), -1)
    index[:rows, :columns] = np.arange(len(levels)).reshape(rows, columns)
    order = index.reshape(high, 2, wide, 2).swapaxes(1, 2).ravel()
    is_padding = order < 0
    before = np.maximum.accumulate(np.where(is_padding, 0, np.arange(len(order))))  # the first block is inside
    ordered, ends = levels[order[before]], np.where(is_padding, 0, last[order])
    ordered[is_padding, 1:] = 0
    return ordered, ends


def segment_of(marker: int, body: bytes) -> bytes:
    """Segment of a JPEG: its marker, its length and its body."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def write_dc(levels: Sequence[NDArray[np.int16]], code: HuffmanCode) -> bytes:
    """Data of a scan of the DCs alone, of components with one block in an MCU each ([blocks, 1 or 64])."""
    out = np.empty(code.coded_bits // 4 + 16, np.uint8)
    size = _write_dc(np.stack([component[:, 0] for component in levels], axis=1), code.table, out)
    return out[:size].tobytes()


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
    """Data of a scan of luma, of both chroma components, or of all three."""
    state = np.zeros(3, np.int64)  # bits not yet written, how many, bytes written
    before = np.zeros(3, np.int64)
    block = 0
    for mcu in range(len(luma) // luma_per_mcu if luma_per_mcu else len(blue)):
        for _ in range(luma_per_mcu):
            _put_block(luma[block], luma_last[block], before[0], luma_dc, luma_ac, state, out)
            before[0] = luma[block, 0]
            block += 1
        if has_chroma:
            _put_block(blue[mcu], blue_last[mcu], before[1], chroma_dc, chroma_ac, state, out)
            before[1] = blue[mcu, 0]
            _put_block(red[mcu], red_last[mcu], before[2], chroma_dc, chroma_ac, state, out)
            before[2] = red[mcu, 0]
    return _padded(state, out)


@compiled
def _write_dc(levels: NDArray[np.int16], dc: NDArray[np.int64], out: NDArray[np.uint8]) -> int:
    state = np.zeros(3, np.int64)
    before = np.zeros(levels.shape[1], np.int64)
    for mcu in range(levels.shape[0]):
        for component in range(levels.shape[1]):
            difference = levels[mcu, component] - before[component]
            before[component] = levels[mcu, component]
            size = bit_size(difference)
            _put_bits((dc[1, size] << size) | _magnitude(difference, size), dc[0, size] + size, state, out)
    return _padded(state, out)


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
    _put_bits((dc[1, size] << size) | _magnitude(difference, size), dc[0, size] + size, state, out)
    run = 0
    for k in range(1, end + 1):
        level = levels[k] + 0  # as wide as a difference
        if level == 0:
            run += 1
            continue
        while run > 15:
            _put_bits(ac[1, 0xF0], ac[0, 0xF0], state, out)
            run -= 16
        size = bit_size(level)
        symbol = (run << 4) | size
        _put_bits((ac[1, symbol] << size) | _magnitude(level, size), ac[0, symbol] + size, state, out)
        run = 0
    if end < 63:
        _put_bits(ac[1, 0], ac[0, 0], state, out)


@compiled
def _padded(state: NDArray[np.int64], out: NDArray[np.uint8]) -> int:
    """Fill the last byte with ones; return the bytes written."""
    if state[1]:
        _put_bits((1 << (8 - state[1])) - 1, 8 - state[1], state, out)
    return int(state[2])


@compiled
def _magnitude(value: int, size: int) -> int:
    """Magnitude bits of a value: its rank among the values of its size."""
    return value if value >= 0 else value + (1 << size) - 1


@compiled
def _put_bits(bits: int, count: int, state: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
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
