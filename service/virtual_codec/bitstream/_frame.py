"""Frame header, scan header and quantisation tables of a JPEG, read from their segments."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtual_codec.errors import UndecodableImage

PROCESSES: Final = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC9: "arithmetic",
    0xCA: "arithmetic",
    0xCB: "arithmetic",
}
UNREADABLE_FRAMES: Final = frozenset({0xC5, 0xC6, 0xC7, 0xC8, 0xCD, 0xCE, 0xCF})
FRAMES_WITHOUT_TABLES: Final = frozenset({0xC3, 0xCB})

# Natural index (row times 8 plus column) of the i-th coefficient in zig-zag order (ITU-T T.81, figure A.6).
# fmt: off
ZIGZAG: NDArray[np.int64] = np.array([
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
], np.int64)
# fmt: on


class Frame(NamedTuple):
    """Frame header of a JPEG. `table_of` maps a component's id to its table's number, in the frame's order."""

    marker: int
    precision: int
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    table_of: dict[int, int]


def read_frame(marker: int, body: bytes) -> Frame:
    """Frame header in the body of a frame segment. Raises `UndecodableImage`."""
    if marker in UNREADABLE_FRAMES:
        raise UndecodableImage("the JPEG is hierarchical, which is not supported")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise UndecodableImage("not a readable JPEG: its frame header is damaged")
    height, width, count = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5]
    parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    sampling = tuple((part[1] >> 4, part[1] & 0xF) for part in parts)
    table_of = {part[0]: part[2] for part in parts}
    if not (1 <= count <= 4 and len(table_of) == count and width and height):
        raise UndecodableImage("not a readable JPEG: it has no pixels, or unsupported components")
    if any(not (1 <= factor <= 4) for pair in sampling for factor in pair):
        raise UndecodableImage("not a readable JPEG: a sampling factor is out of range")
    return Frame(marker, body[0], width, height, sampling, table_of)


def scan_components(body: bytes) -> bytes:
    """Component ids in the body of a scan header. Raises `UndecodableImage`."""
    if not body or len(body) != 4 + 2 * body[0]:
        raise UndecodableImage("not a readable JPEG: a scan header is damaged")
    return body[1 : 1 + 2 * body[0] : 2]


def read_tables(body: bytes) -> dict[int, NDArray[np.uint16]]:
    """Quantisation tables in the body of a DQT segment, by number: [8, 8], natural order, read-only."""
    tables: dict[int, NDArray[np.uint16]] = {}
    position = 0
    while position < len(body):
        wide, name = body[position] >> 4, body[position] & 0xF
        steps = body[position + 1 : position + 1 + 64 * (1 + wide)]
        if wide > 1 or name > 3 or len(steps) < 64 * (1 + wide):
            raise UndecodableImage("not a readable JPEG: a quantisation table is damaged")
        table = np.zeros(64, np.uint16)
        table[ZIGZAG] = np.frombuffer(steps, ">u2" if wide else "u1")
        table.flags.writeable = False
        tables[name] = table.reshape(8, 8)
        position += 1 + len(steps)
    return tables
