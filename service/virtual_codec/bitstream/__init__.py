"""JPEG streams without decoding: the segment of this project in them, and the layout that their markers state."""

from virtual_codec.bitstream._frame import ZIGZAG
from virtual_codec.bitstream._layout import DEFAULT_MAX_SCANS, JpegLayout, check_scan_count, layout
from virtual_codec.bitstream._markers import DEFAULT_MAX_SEGMENTS, Segment, leading_segments, next_marker, segments
from virtual_codec.bitstream._segment import (
    SEGMENT_BYTES,
    SIGNATURE,
    VERSION,
    StreamHeader,
    find,
    insert,
    pack,
    strip,
)

__all__ = [
    "DEFAULT_MAX_SCANS",
    "DEFAULT_MAX_SEGMENTS",
    "SEGMENT_BYTES",
    "SIGNATURE",
    "VERSION",
    "ZIGZAG",
    "JpegLayout",
    "Segment",
    "StreamHeader",
    "check_scan_count",
    "find",
    "insert",
    "layout",
    "leading_segments",
    "next_marker",
    "pack",
    "segments",
    "strip",
]
