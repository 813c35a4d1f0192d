"""A second opinion on baseline JPEG: entropy decoding written from the standard, apart from the encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Reading:
    """What a baseline file says: tables [64] and levels [blocks, 64] in zig-zag order, in coding order."""

    width: int = 0
    height: int = 0
    quantisation: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    codes: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)  # (length, code) -> symbol
    sampling: list[int] = field(default_factory=list)
    quantisation_of: list[int] = field(default_factory=list)
    codes_of: list[int] = field(default_factory=list)
    levels: list[NDArray[np.int16]] = field(default_factory=list)


def read(stream: bytes) -> Reading:
    """Read a file of one interleaved baseline scan; asserts that there is nothing else in it."""
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
        elif marker == 0xDA:
            reading.codes_of = list(body[2:-3:2])
            break
        else:
            raise AssertionError(f"unexpected marker {marker:02x}")
    assert stream.endswith(b"\xff\xd9")
    _read_scan(stream[at:-2], reading)
    return reading


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


def _read_scan(scan: bytes, reading: Reading) -> None:
    assert b"\xff" not in scan.replace(b"\xff\x00", b"")
    bits = "".join(f"{byte:08b}" for byte in scan.replace(b"\xff\x00", b"\xff"))
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

    per_mcu = [(factors >> 4) * (factors & 15) for factors in reading.sampling]
    side = 16 if per_mcu[0] == 4 else 8
    mcus = -(-reading.width // side) * -(-reading.height // side)
    levels = [np.zeros((mcus * blocks, 64), np.int16) for blocks in per_mcu]
    before = [0] * len(levels)
    for mcu in range(mcus):
        for component, blocks in enumerate(per_mcu):
            chosen = reading.codes_of[component]
            dc, ac = reading.codes[chosen >> 4], reading.codes[0x10 | (chosen & 15)]
            for block in range(mcu * blocks, (mcu + 1) * blocks):
                before[component] += magnitude(symbol(dc))
                levels[component][block, 0] = before[component]
                k = 1
                while k < 64:
                    found = symbol(ac)
                    if found == 0:
                        break
                    k += found >> 4
                    levels[component][block, k] = magnitude(found & 15)
                    k += 1
    assert len(bits) - at < 8
    assert set(bits[at:]) <= {"1"}, "padding is ones"
    reading.levels = levels
