"""Quantisation and size of a coded picture other than a JPEG, by its format."""

from __future__ import annotations

from virtual_codec.bitstream._av1 import av1_code_points, av1_quantisation
from virtual_codec.bitstream._boxes import avif_picture
from virtual_codec.bitstream._jpeg2000 import jpeg2000_code_stream, jpeg2000_quantisation
from virtual_codec.bitstream._quantisation import CodecName, Quantisation
from virtual_codec.bitstream._riff import chunks
from virtual_codec.bitstream._vp8 import vp8_quantisation


def picture_bytes(file: bytes, codec: CodecName) -> int:
    """Size in bytes of only the coded picture in a WebP, AVIF or JPEG 2000 file; 0 if none is found."""
    if codec == "webp":
        return sum(len(chunk.body) for chunk in chunks(file) if chunk.kind in (b"VP8 ", b"VP8L"))
    picture = avif_picture(file) if codec == "avif" else jpeg2000_code_stream(file)
    return len(picture or b"")


def quantisation(file: bytes, codec: CodecName) -> Quantisation | None:
    """Quantisation in the headers of a WebP, AVIF or JPEG 2000 file; None if it is not found."""
    if codec == "webp":
        return vp8_quantisation(file)
    if codec == "jpeg2000":
        return jpeg2000_quantisation(file)
    picture = avif_picture(file)
    return None if picture is None else av1_quantisation(picture)


def avif_code_points(file: bytes) -> tuple[int, int] | None:
    """Code points of primaries and transfer function in an AVIF's coded picture; None if they are not found."""
    picture = avif_picture(file)
    return None if picture is None else av1_code_points(picture)
