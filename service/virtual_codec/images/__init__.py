"""Bytes and pixels: limits, orientation, colour, alpha.

To read one more format: a row in `_sniff`, a function that finds its essence, and a row in `_decode`.
"""

from virtual_codec.images._decode import decode, decode_as_coded, decode_luma, probe, upright
from virtual_codec.images._encode import MEDIA_TYPES, encode
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._sniff import sniff

__all__ = [
    "MEDIA_TYPES",
    "ImageLimits",
    "decode",
    "decode_as_coded",
    "decode_luma",
    "encode",
    "probe",
    "sniff",
    "upright",
]
