"""Completeness check of a JPEG's scans, because decoders fill missing data with grey without an error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import bitstream
from virtual_codec.codecs import _scan_walk
from virtual_codec.errors import UndecodableImage

_DHT, _SOS, _DRI = 0xC4, 0xDA, 0xDD
_PROGRESSIVE, _LOSSLESS, _ARITHMETIC = frozenset({0xC2, 0xCA}), 0xC3, frozenset({0xC9, 0xCA, 0xCB})
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, _LOSSLESS}) | _ARITHMETIC

_UNSENT_BIT = 99  # marks a level of which no scan has had any bit

_WITH_DC, _WITH_AC = (
    (_scan_walk.SEQUENTIAL, _scan_walk.DC),
    (_scan_walk.SEQUENTIAL, _scan_walk.AC, _scan_walk.AC_REFINEMENT),
)

_Codes = dict[int, bytes]  # by class (0x00, 0x10) and number: BITS and HUFFVAL of a DHT segment


def check_scans_complete(jpeg: bytes) -> None:
    """Raise `UndecodableImage` if a scan lacks data, or a progressive file lacks its last scans.

    Surplus bytes before a marker or after the end are ignored. The check takes about as long as decoding: 1 to 4 ms per
    megapixel, 2 to 10 for a progressive file. Arithmetic-coded data is not checked, because its encoders may omit zeros
    at the end, so that truncation cannot be detected. The decoder checks the headers.
    """
    codes: _Codes = {}
    frame: _Frame | None = None
    interval = 0
    for segment, data_end in _with_data(jpeg):
        body = jpeg[segment.start + 4 : segment.end]
        if segment.marker in _FRAMES:
            frame = _Frame(segment.marker, body)
        elif segment.marker == _DHT:
            codes |= codes_in(body)
        elif segment.marker == _DRI:
            interval = int.from_bytes(body[:2], "big")
        elif segment.marker == _SOS and frame is not None:
            frame.check_scan(body, memoryview(jpeg)[segment.end : data_end], codes, interval)
    if frame is not None:
        frame.check_precision()


class _Part(NamedTuple):
    """Component of a frame: sampling factors, and its size in blocks (samples if lossless) in a scan of its own."""

    across: int
    down: int
    columns: int
    rows: int
    low_bits: NDArray[np.int64]  # [64]: number of low bits of each level that no scan has had yet
    nonzero: NDArray[np.int64]  # [blocks]: a bit for each level that is nonzero so far


@final
class _Frame:
    """Frame of a JPEG, and the coefficients that its scans have contained so far."""

    def __init__(self, marker: int, body: bytes) -> None:
        self._is_progressive = marker in _PROGRESSIVE
        self._is_lossless = marker == _LOSSLESS
        self._is_arithmetic = marker in _ARITHMETIC
        side = 1 if self._is_lossless else 8
        height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        sampling = [(factors >> 4, factors & 15) for factors in body[7::3]]
        if len(body) < 9 or len(body) != 6 + 3 * body[5] or not all(across and down for across, down in sampling):
            raise _damaged("its frame header is")
        widest, highest = (max(factors) for factors in zip(*sampling, strict=True))
        self._mcus = -(-width // (side * widest)) * -(-height // (side * highest))
        self._parts: dict[int, _Part] = {}
        for name, (across, down) in zip(body[6::3], sampling, strict=True):
            columns, rows = -(-width * across // widest), -(-height * down // highest)
            columns, rows = -(-columns // side), -(-rows // side)
            kept = columns * rows if self._is_progressive and not self._is_arithmetic else 0
            self._parts[name] = _Part(across, down, columns, rows, np.full(64, _UNSENT_BIT), np.zeros(kept, np.int64))

    def check_scan(self, header: bytes, data: memoryview, codes: _Codes, interval: int) -> None:
        """Raise `UndecodableImage` unless `data` holds the whole scan that `header` describes."""
        if len(header) < 6 or len(header) != 4 + 2 * header[0]:
            raise _damaged("a scan header is")
        chosen = [(name, books >> 4, books & 15) for name, books in zip(header[1:-3:2], header[2:-3:2], strict=True)]
        first, last, high, low = header[-3], header[-2], header[-1] >> 4, header[-1] & 15
        if any(name not in self._parts for name, _, _ in chosen):
            raise _damaged("a scan header is")
        parts = [self._parts[name] for name, _, _ in chosen]
        kind = _scan_walk.DC if self._is_lossless else _scan_walk.SEQUENTIAL
        if self._is_progressive:
            if not (first <= last <= 63 and (first == last == 0 or (first > 0 and len(parts) == 1))):
                raise _damaged("a scan header is")
            kind = (
                (_scan_walk.AC_REFINEMENT if high else _scan_walk.AC)
                if first
                else _scan_walk.DC_REFINEMENT
                if high
                else _scan_walk.DC
            )
            for part in parts:
                part.low_bits[first : last + 1] = low
        if self._is_arithmetic:
            return
        units = [1 if len(parts) == 1 else part.across * part.down for part in parts]
        dc_tables, dc_of = _tables(codes, [dc for _, dc, _ in chosen], kind)
        ac_tables, ac_of = _tables(codes, [0x10 | ac for _, _, ac in chosen], kind)
        if not _scan_walk.is_complete(
            *unstuffed_pieces(data),
            kind,
            (first, last),
            dc_tables,
            ac_tables,
            np.repeat(dc_of, units),
            np.repeat(ac_of, units),
            parts[0].columns * parts[0].rows if len(parts) == 1 else self._mcus,
            interval,
            parts[0].nonzero,
        ):
            raise UndecodableImage("the JPEG is truncated or damaged: the data of a scan ends before its picture does")

    def check_precision(self) -> None:
        """Raise `UndecodableImage` if a progressive picture lacks scans."""
        if self._is_progressive and any(part.low_bits.any() for part in self._parts.values()):
            raise UndecodableImage("the JPEG is truncated: it is progressive, and its last scans are missing")


def _with_data(jpeg: bytes) -> Iterator[tuple[bitstream.Segment, int]]:
    """Segments, each with the end of the data that follows it."""
    before: bitstream.Segment | None = None
    for segment in bitstream.segments(jpeg, len(jpeg)):
        if before is not None:
            yield before, segment.start
        before = segment
    if before is not None:
        yield before, len(jpeg)


def _damaged(what: str) -> UndecodableImage:
    return UndecodableImage(f"not a readable JPEG: {what} damaged")


def unstuffed_pieces(data: memoryview) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]:
    """Scan data without stuffing: its bits, the end of each piece between restarts, and the restart numbers."""
    raw = np.frombuffer(data, np.uint8)
    most = int(np.count_nonzero((raw[:-1] == 0xFF) & (raw[1:] & 0xF8 == 0xD0)))
    bits = np.zeros(len(raw) + _scan_walk.PADDING_BYTES, np.uint8)
    ends, marks = np.zeros(most + 1, np.int64), np.zeros(most, np.uint8)
    found = _scan_walk.split(raw, bits, ends, marks)
    return bits, ends[: found + 1], marks[:found]


def codes_in(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Huffman codes of a DHT segment, by class and number."""
    while body:
        size = 17 + sum(body[1:17])
        if len(body) < size:
            raise _damaged("a Huffman table is")
        yield body[0], body[1:size]
        body = body[size:]


def _tables(codes: _Codes, names: list[int], kind: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Distinct lookup tables of the codes ([tables, 65536]), and the index of each component's table."""
    if kind not in (_WITH_AC if names[0] & 0x10 else _WITH_DC):
        return np.zeros((1, 1), np.uint16), np.zeros(len(names), np.int64)
    once = list(dict.fromkeys(names))
    in_steps = kind in (_scan_walk.SEQUENTIAL, _scan_walk.DC)
    return np.stack([lookup_table(codes, name, in_steps) for name in once]), np.array(
        [once.index(name) for name in names]
    )


def lookup_table(codes: _Codes, name: int, in_steps: bool) -> NDArray[np.uint16]:
    """Lookup table by the next 16 bits ([65536]): bits and levels of a step, or length and symbol of a code."""
    code = codes.get(name) or _standard_codes().get(name)
    if code is None:
        raise _damaged("a Huffman table is missing or")
    symbols = np.frombuffer(code[16:], np.uint8).astype(np.int64)
    lengths = np.repeat(np.arange(1, 17), list(code[:16]))
    spans = 1 << (16 - lengths)
    if spans.sum() > 1 << 16:
        raise _damaged("a Huffman table is")
    if not in_steps:
        values, none = lengths | symbols << _scan_walk.STEP_BITS, 0
    else:
        zeros, sizes = symbols >> 4, symbols & 15
        in_ac = np.where((sizes > 0) | (zeros == 15), zeros + 1, 64)  # 64: the block ends
        advance = in_ac if name & 0x10 else np.ones_like(symbols)
        values, none = lengths + sizes | advance << _scan_walk.STEP_BITS, _scan_walk.NO_CODE << _scan_walk.STEP_BITS
    table = np.full(1 << 16, none, np.uint16)
    table[: spans.sum()] = np.repeat(values, spans)
    return table


@cache
def _standard_codes() -> _Codes:
    """Huffman codes of Annex K, which Motion JPEG frames omit. Pillow writes them without `optimize`."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "JPEG", optimize=False)
    stream = file.getvalue()
    found: _Codes = {}
    for segment in bitstream.leading_segments(stream):
        if segment.marker == _DHT:
            found |= codes_in(stream[segment.start + 4 : segment.end])
    return found
