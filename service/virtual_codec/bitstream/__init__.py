"""Streams without decoding: this project's segment in them, and the coding parameters in their headers."""

from virtual_codec.bitstream._attached import ATTACHED_BYTES, attach, detach, find_attached
from virtual_codec.bitstream._boxes import JP2_EXIF, JP2_XMP, Box, boxes, uuid_bodies, uuid_box
from virtual_codec.bitstream._coded_picture import avif_code_points, picture_bytes, quantisation
from virtual_codec.bitstream._frame import ZIGZAG
from virtual_codec.bitstream._jpeg2000 import jpeg2000_code_stream
from virtual_codec.bitstream._layout import DEFAULT_MAX_SCANS, JpegLayout, check_scan_count, layout
from virtual_codec.bitstream._markers import DEFAULT_MAX_SEGMENTS, Segment, leading_segments, next_marker, segments
from virtual_codec.bitstream._quantisation import CODEC_NAMES, CodecName, Quantisation
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
    "ATTACHED_BYTES",
    "CODEC_NAMES",
    "DEFAULT_MAX_SCANS",
    "DEFAULT_MAX_SEGMENTS",
    "JP2_EXIF",
    "JP2_XMP",
    "SEGMENT_BYTES",
    "SIGNATURE",
    "VERSION",
    "ZIGZAG",
    "Box",
    "CodecName",
    "JpegLayout",
    "Quantisation",
    "Segment",
    "StreamHeader",
    "attach",
    "avif_code_points",
    "boxes",
    "check_scan_count",
    "detach",
    "find",
    "find_attached",
    "insert",
    "jpeg2000_code_stream",
    "layout",
    "leading_segments",
    "next_marker",
    "pack",
    "picture_bytes",
    "quantisation",
    "segments",
    "strip",
    "uuid_bodies",
    "uuid_box",
]
