"""Image files to and from pixels: limits, orientation, colour, alpha.

To add an input format, add a row to `_sniff`, write a function that strips its files, and add a row to `_decode`.
"""

from virtual_codec.images._colour import Picture
from virtual_codec.images._decode import decode, decode_picture, probe
from virtual_codec.images._decoded_jpeg import DecodedJpeg, ParsedJpeg, decode_jpeg, parse_jpeg
from virtual_codec.images._encode import MEDIA_TYPES, encode
from virtual_codec.images._left_out import left_out
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._metadata import (
    Metadata,
    insert_segments,
    metadata_of_stream,
    metadata_segments,
    read_metadata,
)
from virtual_codec.images._pillow import configure_pillow
from virtual_codec.images._sniff import RESTORABLE, check_codec, sniff

__all__ = [
    "MEDIA_TYPES",
    "RESTORABLE",
    "DecodedJpeg",
    "ImageLimits",
    "Metadata",
    "ParsedJpeg",
    "Picture",
    "check_codec",
    "configure_pillow",
    "decode",
    "decode_jpeg",
    "decode_picture",
    "encode",
    "insert_segments",
    "left_out",
    "metadata_of_stream",
    "metadata_segments",
    "parse_jpeg",
    "probe",
    "read_metadata",
    "sniff",
]
