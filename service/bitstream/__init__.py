"""Standard JPEG streams from outside: our segment in them, and what their markers say. Nothing is decoded."""

from service.bitstream._layout import DEFAULT_MAX_SCANS, JpegLayout, layout
from service.bitstream._markers import MAX_SEGMENTS
from service.bitstream._segment import (
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
    "MAX_SEGMENTS",
    "SEGMENT_BYTES",
    "SIGNATURE",
    "VERSION",
    "JpegLayout",
    "StreamHeader",
    "find",
    "insert",
    "layout",
    "pack",
    "strip",
]
