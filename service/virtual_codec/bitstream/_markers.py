"""JPEG markers, and the segments that begin with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from virtual_codec.errors import TooManySegments, UndecodableImage

DEFAULT_MAX_SEGMENTS = 4096  # an ordinary file has some tens of segments; an ICC profile can have 255

SOS, EOI, DQT = 0xDA, 0xD9, 0xDB
APP0, APP1, APP11, APP14 = 0xE0, 0xE1, 0xEB, 0xEE

# Any marker with a length, or EOI: not stuffing (00), fill (FF), TEM (01), restarts (D0-D7), SOI (D8).
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")


class Segment(NamedTuple):
    """JPEG segment: a marker and the bytes `stream[start:end]` that belong to it."""

    marker: int
    start: int  # of the marker
    end: int  # of the segment by its length; a scan's data follows


def segments(stream: bytes, max_segments: int = DEFAULT_MAX_SEGMENTS) -> Iterator[Segment]:
    """Segments up to the end-of-image, found by their lengths, so that an EXIF thumbnail's markers are skipped.

    Bytes between segments, such as a scan's data, are searched for the next marker, as libjpeg does. After the first
    scan, a segment that runs past the file's end is ignored, because anything may follow a picture without
    end-of-image. Raises `UndecodableImage`, and `TooManySegments` for more than `max_segments` segments.
    """
    if not stream.startswith(b"\xff\xd8"):
        raise UndecodableImage("not a JPEG: it does not begin with FF D8")
    position = 2
    has_scan = False
    for _ in range(max_segments):
        found = _MARKER.search(stream, position)
        if found is None:
            return
        start, marker = found.start(), stream[found.start() + 1]
        if marker == EOI:
            yield Segment(marker, start, start + 2)
            return
        length = int.from_bytes(stream[start + 2 : start + 4], "big")
        position = start + 2 + length
        if length < 2 or position > len(stream):
            if has_scan:
                return
            raise UndecodableImage("the JPEG is damaged or truncated: a segment runs past its end")
        has_scan = has_scan or marker == SOS
        yield Segment(marker, start, position)
    if _MARKER.search(stream, position) is not None:
        raise TooManySegments(
            f"the JPEG has more than {max_segments} segments; save it again",
            limit=max_segments,
            actual=max_segments + 1,
        )


def next_marker(stream: bytes, position: int) -> int:
    """Offset of the next marker that is neither stuffing nor a restart, or the stream's length if there is none."""
    found = _MARKER.search(stream, position)
    return len(stream) if found is None else found.start()


def leading_segments(stream: bytes, max_segments: int = DEFAULT_MAX_SEGMENTS) -> Iterator[Segment]:
    """Segments before the first scan. Raises the errors of `segments`."""
    for segment in segments(stream, max_segments):
        if segment.marker in (SOS, EOI):
            return
        yield segment
