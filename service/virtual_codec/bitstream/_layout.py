"""Layout of a JPEG: the properties in its marker segments, read without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream._frame import (
    FRAMES_WITHOUT_TABLES,
    PROCESSES,
    UNREADABLE_FRAMES,
    Frame,
    read_frame,
    read_tables,
    scan_components,
)
from virtual_codec.bitstream._markers import APP0, APP14, DEFAULT_MAX_SEGMENTS, DQT, SOS, segments
from virtual_codec.errors import TooManyScans, UndecodableImage

DEFAULT_MAX_SCANS = 64  # libjpeg's own script makes 10

ColourModel = Literal["grey", "ycbcr", "rgb", "four components"]


@dataclass(frozen=True, kw_only=True, eq=False)
class JpegLayout:
    """Properties of a JPEG in its marker segments, up to the first end-of-image.

    `process` is baseline, extended, progressive, lossless or arithmetic; `precision` is bits per sample.
    `sampling` holds (horizontal, vertical) factors, `tables` the quantisation table each component uses:
    [8, 8] uint16 in natural order (rows are vertical frequencies), read-only; a lossless process has none.
    `component_ids` are the frame's. `has_jfif` is True if there is a JFIF segment; `adobe_transform` is that of an
    Adobe APP14 segment. `entropy_bytes` counts the bytes of all scans' data.
    """

    width: int
    height: int
    components: int
    component_ids: tuple[int, ...]
    sampling: tuple[tuple[int, int], ...]
    precision: int
    process: str
    tables: tuple[NDArray[np.uint16], ...]
    scans: int
    has_jfif: bool
    adobe_transform: int | None
    entropy_bytes: int

    @property
    def colour_model(self) -> ColourModel:
        """Colour model that libjpeg assumes for the components (`default_decompress_parms` in jdapimin.c)."""
        if self.components != 3:
            return "grey" if self.components == 1 else "four components"
        if self.has_jfif:
            return "ycbcr"
        if self.adobe_transform is not None:
            return "rgb" if self.adobe_transform == 0 else "ycbcr"
        return "rgb" if bytes(self.component_ids) == b"RGB" else "ycbcr"

    @property
    def is_subsampled(self) -> bool:
        """True if the components differ in resolution."""
        return len(set(self.sampling)) > 1


def layout(
    stream: bytes, *, max_scans: int = DEFAULT_MAX_SCANS, max_segments: int = DEFAULT_MAX_SEGMENTS
) -> JpegLayout:
    """Read a JPEG's layout from its markers, in time proportional to the length and without decoding.

    A scan of ten bytes makes a decoder process the whole picture once more. Therefore more than `max_scans` scans raise
    `TooManyScans`, and more than `max_segments` segments raise `TooManySegments`. Raises `UndecodableImage`
    for a file that is not a JPEG, lacks its frame, scans or tables, or is hierarchical. A missing end-of-image is
    not checked here.
    """
    reader = _LayoutReader(stream, max_scans)
    for segment in segments(stream, max_segments):
        reader.read(segment.marker, segment.start, segment.end)
    return reader.finish()


def check_scan_count(
    stream: bytes, max_scans: int = DEFAULT_MAX_SCANS, max_segments: int = DEFAULT_MAX_SEGMENTS
) -> None:
    """Raise `TooManyScans` for a JPEG with more than `max_scans` scans, with or without its tables.

    Raises `TooManySegments` and `UndecodableImage` like `layout`.
    """
    scans = 0
    for segment in segments(stream, max_segments):
        if segment.marker == SOS:
            scans += 1
            _check_count(scans, max_scans)


@final
class _LayoutReader:
    """State of reading a layout, segment by segment."""

    def __init__(self, stream: bytes, max_scans: int) -> None:
        self._stream = stream
        self._max_scans = max_scans
        self._frame: Frame | None = None
        self._defined: dict[int, NDArray[np.uint16]] = {}
        self._used: dict[int, NDArray[np.uint16]] = {}
        self._adobe_transform: int | None = None
        self._has_jfif = False
        self._scans = self._entropy_bytes = self._data_start = 0

    def read(self, marker: int, start: int, end: int) -> None:
        """Read the next segment, `stream[start:end]`."""
        self._end_data(start)
        body = self._stream[start + 4 : end]
        if marker == SOS:
            self._read_scan(body)
            self._data_start = end
        elif marker == DQT:
            self._defined.update(read_tables(body))
        elif marker in PROCESSES or marker in UNREADABLE_FRAMES:
            if self._frame is not None:
                raise UndecodableImage("not a readable JPEG: it has two frame headers")
            self._frame = read_frame(marker, body)
        elif marker == APP0 and body.startswith(b"JFIF\0"):
            self._has_jfif = True
        elif marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self._adobe_transform = body[11]

    def finish(self) -> JpegLayout:
        """Layout after the last segment. Raises `UndecodableImage` if something is missing."""
        frame = self._frame
        if frame is None or self._scans == 0:
            raise UndecodableImage("not a readable JPEG: it ends before its picture begins")
        self._end_data(len(self._stream))
        tables: tuple[NDArray[np.uint16], ...] = ()
        if frame.marker not in FRAMES_WITHOUT_TABLES:
            if any(component not in self._used for component in frame.table_of):
                raise UndecodableImage("not a readable JPEG: a component has no scan or no quantisation table")
            tables = tuple(self._used[component] for component in frame.table_of)
        return JpegLayout(
            width=frame.width,
            height=frame.height,
            components=len(frame.sampling),
            component_ids=tuple(frame.table_of),
            sampling=frame.sampling,
            precision=frame.precision,
            process=PROCESSES[frame.marker],
            tables=tables,
            scans=self._scans,
            has_jfif=self._has_jfif,
            adobe_transform=self._adobe_transform,
            entropy_bytes=self._entropy_bytes,
        )

    def _read_scan(self, body: bytes) -> None:
        if self._frame is None:
            raise UndecodableImage("not a readable JPEG: a scan comes before the frame header")
        self._scans += 1
        _check_count(self._scans, self._max_scans)
        for component in scan_components(body):
            table = self._defined.get(self._frame.table_of.get(component, -1))
            if table is not None:
                self._used.setdefault(component, table)  # the table of its first scan, whatever is defined later

    def _end_data(self, position: int) -> None:
        """Count the data of the scan before `position`, if any."""
        if self._data_start:
            self._entropy_bytes += position - self._data_start
            self._data_start = 0


def _check_count(scans: int, max_scans: int) -> None:
    if scans > max_scans:
        raise TooManyScans(
            f"the JPEG has more than {max_scans} scans; save it with fewer", limit=max_scans, actual=scans
        )
