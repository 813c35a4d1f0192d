"""A second opinion on baseline JPEG: entropy decoding written from the standard, apart from the encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Reading:
    """What a baseline file says: tables [64] and levels [blocks, 64] in zig-zag order, blocks in raster order.

    `scans` holds the components of each scan, and `codes_of` the selectors of each component.
    """

    width: int = 0
    height: int = 0
    quantisation: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    codes: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)  # (length, code) -> symbol
    sampling: list[int] = field(default_factory=list)
    quantisation_of: list[int] = field(default_factory=list)
    scans: list[list[int]] = field(default_factory=list)
    codes_of: dict[int, int] = field(default_factory=dict)
    levels: list[NDArray[np.int16]] = field(default_factory=list)


def read(stream: bytes) -> Reading:
    """Read a baseline file of one scan or several; asserts that there is nothing else in it."""
    reading = Reading()
    assert stream[:2] == b"\xff\xd8"
    at = 2
    while True:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        body = stream[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            for start in range(0, len(body), 65):
                table = np.frombuffer(body[start + 1 : start + 65], np.uint8)
                assert table.min() >= 1
                reading.quantisation[body[start]] = table
        elif marker == 0xC4:
            _read_codes(body, reading)
        elif marker == 0xC0:
            reading.height, reading.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            reading.sampling = list(body[7::3])
            reading.quantisation_of = list(body[8::3])
            assert list(body[6::3]) == list(range(1, len(reading.sampling) + 1))
            for i in range(len(reading.sampling)):
                rows, columns = _size_in_blocks(reading, i)
                reading.levels.append(np.zeros((rows * columns, 64), np.int16))
        elif marker == 0xDA:
            assert body[-3:] == bytes([0, 63, 0]), "all levels at once"
            scan = [component - 1 for component in body[1:-3:2]]
            reading.scans.append(scan)
            reading.codes_of |= dict(zip(scan, body[2:-3:2], strict=True))
            end = at
            while stream[end] != 0xFF or stream[end + 1] == 0:
                end += 1
            _read_scan(stream[at:end], scan, reading)
            at = end
            if stream[at + 1] == 0xD9:
                break
        else:
            raise AssertionError(f"unexpected marker {marker:02x}")
    assert stream[at:] == b"\xff\xd9"
    assert sorted(component for scan in reading.scans for component in scan) == list(range(len(reading.levels)))
    return reading


def _size_in_blocks(reading: Reading, component: int) -> tuple[int, int]:
    """Rows and columns of the blocks that hold samples of a component."""
    widest, highest = max(each >> 4 for each in reading.sampling), max(each & 15 for each in reading.sampling)
    across, down = reading.sampling[component] >> 4, reading.sampling[component] & 15
    return -(-reading.height * down // (8 * highest)), -(-reading.width * across // (8 * widest))


def _blocks_of_scan(reading: Reading, scan: list[int]) -> list[tuple[int, int | None]]:
    """Component and raster index of each block of a scan, in coding order; no index for one outside of the picture."""
    if len(scan) == 1:
        return [(scan[0], i) for i in range(len(reading.levels[scan[0]]))]
    widest, highest = max(each >> 4 for each in reading.sampling), max(each & 15 for each in reading.sampling)
    order: list[tuple[int, int | None]] = []
    for top in range(-(-reading.height // (8 * highest))):
        for left in range(-(-reading.width // (8 * widest))):
            for component in scan:
                rows, columns = _size_in_blocks(reading, component)
                across, down = reading.sampling[component] >> 4, reading.sampling[component] & 15
                order.extend(
                    (component, y * columns + x if y < rows and x < columns else None)
                    for y in range(top * down, (top + 1) * down)
                    for x in range(left * across, (left + 1) * across)
                )
    return order


def _read_codes(body: bytes, reading: Reading) -> None:
    while body:
        symbols = iter(body[17:])
        code, book = 0, {}
        for length in range(1, 17):
            for _ in range(body[length]):
                assert code < (1 << length) - 1, "the code of all ones is reserved"
                book[length, code] = next(symbols)
                code += 1
            code <<= 1
        reading.codes[body[0]] = book
        body = body[17 + len(book) :]


def _read_scan(data: bytes, scan: list[int], reading: Reading) -> None:
    bits = "".join(f"{byte:08b}" for byte in data.replace(b"\xff\x00", b"\xff"))
    at = 0

    def symbol(book: dict[tuple[int, int], int]) -> int:
        nonlocal at
        for length in range(1, 17):
            code = (length, int(bits[at : at + length], 2))
            if code in book:
                at += length
                return book[code]
        raise AssertionError("no such code")

    def magnitude(size: int) -> int:
        nonlocal at
        if size == 0:
            return 0
        value = int(bits[at : at + size], 2)
        at += size
        return value if value >> (size - 1) else value - (1 << size) + 1

    before = dict.fromkeys(scan, 0)
    for component, index in _blocks_of_scan(reading, scan):
        chosen = reading.codes_of[component]
        dc, ac = reading.codes[chosen >> 4], reading.codes[0x10 | (chosen & 15)]
        levels = reading.levels[component][index] if index is not None else np.zeros(64, np.int16)
        before[component] += magnitude(symbol(dc))
        levels[0] = before[component]
        k = 1
        while k < 64:
            found = symbol(ac)
            if found == 0:
                break
            k += found >> 4
            levels[k] = magnitude(found & 15)
            k += 1
    assert len(bits) - at < 8
    assert set(bits[at:]) <= {"1"}, "padding is ones"
