"""What the markers of a JPEG say of its picture. Nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream._markers import APP14, DEFAULT_MAX_SEGMENTS, DQT, SOS, segments
from virtual_codec.errors import TooManyScans, UndecodableImage

DEFAULT_MAX_SCANS = 64  # libjpeg's own script makes 10

_PROCESSES = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC9: "arithmetic",
    0xCA: "arithmetic",
    0xCB: "arithmetic",
}
_UNREADABLE_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC8, 0xCD, 0xCE, 0xCF})
_WITHOUT_TABLES = frozenset({0xC3, 0xCB})

# fmt: off
_ZIGZAG = np.array([
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
])
# fmt: on


@dataclass(frozen=True, kw_only=True, eq=False)
class JpegLayout:
    """What the markers of a JPEG say of its picture, up to the first end-of-image.

    `process` is baseline, extended, progressive, lossless or arithmetic; `precision` is bits a sample.
    `sampling` holds (horizontal, vertical) factors, `tables` the quantisation table each component uses:
    [8, 8] uint16 in natural order (rows are vertical frequencies), read-only; a lossless process has none.
    `adobe_transform` is that of an Adobe APP14 segment. `entropy_bytes` counts the bytes of all scans' data.
    """

    width: int
    height: int
    components: int
    sampling: tuple[tuple[int, int], ...]
    precision: int
    process: str
    tables: tuple[NDArray[np.uint16], ...]
    scans: int
    adobe_transform: int | None
    entropy_bytes: int


def layout(
    stream: bytes, *, max_scans: int = DEFAULT_MAX_SCANS, max_segments: int = DEFAULT_MAX_SEGMENTS
) -> JpegLayout:
    """Read what the markers say, in time proportional to the length and without decoding.

    A scan costs a decoder a pass over the picture and an attacker ten bytes, so more than `max_scans` raise
    `TooManyScans`, and more than `max_segments` segments `TooManySegments`. Raises `UndecodableImage` for what is
    not a JPEG, lacks its frame, scans or tables, or is hierarchical. A missing end-of-image is for the decoder to
    judge.
    """
    frame: _Frame | None = None
    defined: dict[int, NDArray[np.uint16]] = {}
    used: dict[int, NDArray[np.uint16]] = {}
    adobe_transform: int | None = None
    scans = entropy_bytes = data_start = 0

    for segment in segments(stream, max_segments):
        if data_start:
            entropy_bytes += segment.start - data_start
            data_start = 0
        body = stream[segment.start + 4 : segment.end]
        if segment.marker == SOS:
            if frame is None:
                raise UndecodableImage("not a readable JPEG: a scan comes before the frame header")
            scans += 1
            _check_count(scans, max_scans)
            data_start = segment.end
            for component in _scan_components(body):
                table = defined.get(frame.table_of.get(component, -1))
                if table is not None:
                    used.setdefault(component, table)  # that of its first scan, whatever is defined later
        elif segment.marker == DQT:
            defined.update(_read_tables(body))
        elif segment.marker in _PROCESSES or segment.marker in _UNREADABLE_FRAMES:
            if frame is not None:
                raise UndecodableImage("not a readable JPEG: it has two frame headers")
            frame = _read_frame(segment.marker, body)
        elif segment.marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe_transform = body[11]

    if frame is None or scans == 0:
        raise UndecodableImage("not a readable JPEG: it ends before its picture begins")
    if data_start:
        entropy_bytes += len(stream) - data_start
    if frame.marker in _WITHOUT_TABLES:
        tables: tuple[NDArray[np.uint16], ...] = ()
    elif any(component not in used for component in frame.table_of):
        raise UndecodableImage("not a readable JPEG: a component has no scan or no quantisation table")
    else:
        tables = tuple(used[component] for component in frame.table_of)
    return JpegLayout(
        width=frame.width,
        height=frame.height,
        components=len(frame.sampling),
        sampling=frame.sampling,
        precision=frame.precision,
        process=_PROCESSES[frame.marker],
        tables=tables,
        scans=scans,
        adobe_transform=adobe_transform,
        entropy_bytes=entropy_bytes,
    )


def check_scan_count(
    stream: bytes, max_scans: int = DEFAULT_MAX_SCANS, max_segments: int = DEFAULT_MAX_SEGMENTS
) -> None:
    """Raise `TooManyScans` for a JPEG of more than `max_scans` scans, be it whole or without its tables.

    Raises `TooManySegments` and `UndecodableImage` like `layout`.
    """
    scans = 0
    for segment in segments(stream, max_segments):
        if segment.marker == SOS:
            scans += 1
            _check_count(scans, max_scans)


class _Frame(NamedTuple):
    marker: int
    precision: int
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    table_of: dict[int, int]  # component id -> quantisation table, in the frame's order


def _check_count(scans: int, max_scans: int) -> None:
    if scans > max_scans:
        raise TooManyScans(
            f"the JPEG has more than {max_scans} scans; save it with fewer", limit=max_scans, actual=scans
        )


def _read_frame(marker: int, body: bytes) -> _Frame:
    if marker in _UNREADABLE_FRAMES:
        raise UndecodableImage("the JPEG is hierarchical, which no decoder here reads")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise UndecodableImage("not a readable JPEG: its frame header is damaged")
    height, width, count = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5]
    parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    sampling = tuple((part[1] >> 4, part[1] & 0xF) for part in parts)
    table_of = {part[0]: part[2] for part in parts}
    if not (1 <= count <= 4 and len(table_of) == count and width and height):
        raise UndecodableImage("not a readable JPEG: it has no pixels, or components no decoder here reads")
    if any(not (1 <= factor <= 4) for pair in sampling for factor in pair):
        raise UndecodableImage("not a readable JPEG: a sampling factor is out of range")
    return _Frame(marker, body[0], width, height, sampling, table_of)


def _scan_components(body: bytes) -> bytes:
    if not body or len(body) != 4 + 2 * body[0]:
        raise UndecodableImage("not a readable JPEG: a scan header is damaged")
    return body[1 : 1 + 2 * body[0] : 2]


def _read_tables(body: bytes) -> dict[int, NDArray[np.uint16]]:
    tables: dict[int, NDArray[np.uint16]] = {}
    position = 0
    while position < len(body):
        wide, name = body[position] >> 4, body[position] & 0xF
        steps = body[position + 1 : position + 1 + 64 * (1 + wide)]
        if wide > 1 or name > 3 or len(steps) < 64 * (1 + wide):
            raise UndecodableImage("not a readable JPEG: a quantisation table is damaged")
        table = np.zeros(64, np.uint16)
        table[_ZIGZAG] = np.frombuffer(steps, ">u2" if wide else "u1")
        table.flags.writeable = False
        tables[name] = table.reshape(8, 8)
        position += 1 + len(steps)
    return tables
