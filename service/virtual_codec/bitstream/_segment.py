"""APP11 segment of this project (VCDC): 15 bytes, big-endian, before the first scan.

    FF EB | 00 0D | "VCDC" | version:4 flags:4 | scale-1:4 width-1:2 height-1:2 | model id, 4 bytes | CRC-8

where width and height are the remainders. Flag 1 is "show as decoded", flag 2 "grey as colour", flag 4 "colour as
grey", which JPEGs never have; flag 8 is reserved and zero.

The 11 bytes from the signature to the CRC are the header's body, which files of other codecs contain too
(`virtual_codec.bitstream._attached`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from virtual_codec.bitstream._markers import APP0, APP1, APP11, DEFAULT_MAX_SEGMENTS, Segment, leading_segments
from virtual_codec.errors import BadStream

SIGNATURE = b"VCDC"
SEGMENT_BYTES = 15
BODY_BYTES = 11
VERSION = 1

_SHOW_DECODED = 0x1
_GREY_AS_COLOUR = 0x2
_COLOUR_AS_GREY = 0x4
_MAX_SCALE, _MAX_REMAINDER = 16, 4
_RESERVED_FLAGS = "the stream's VCDC segment has reserved flags set: it may come from a newer version of this service"


@dataclass(frozen=True, kw_only=True)
class StreamHeader:
    """Contents of the VCDC segment, or of the header with the same bytes in files of other codecs.

    `model` is the model id, 8 lower-case hex digits; `scale` (1-16) is the downscaling factor of the description. A
    remainder is the side of the image minus `scale` times (side of the description - 1): from 1 to the smaller of
    `scale` and 4. `show_decoded` requests the plain enlarged decode, because post-processing would not help the image.
    `grey_as_colour` requests three equal channels from a grey description, `colour_as_grey` one channel from a
    description with three, whose codec has no grey pictures.
    """

    model: str
    scale: int
    width_remainder: int
    height_remainder: int
    show_decoded: bool = False
    grey_as_colour: bool = False
    colour_as_grey: bool = False
    version: int = VERSION

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{8}", self.model):
            raise ValueError(f"model must be 8 lower-case hex digits, got {self.model!r}")
        if not 1 <= self.scale <= _MAX_SCALE:
            raise ValueError(f"scale must be 1 to {_MAX_SCALE}, got {self.scale}")
        for name in ("width_remainder", "height_remainder"):
            remainder, most = getattr(self, name), min(self.scale, _MAX_REMAINDER)
            if not 1 <= remainder <= most:
                raise ValueError(f"{name} must be 1 to {most} at scale {self.scale}, got {remainder}")
        if self.version != VERSION:
            raise ValueError(f"version must be {VERSION}, got {self.version}")


def pack(header: StreamHeader) -> bytes:
    """VCDC segment of a header, including the marker: 15 bytes."""
    return bytes([0xFF, APP11, 0, SEGMENT_BYTES - 2]) + pack_body(header)


def pack_body(header: StreamHeader) -> bytes:
    """Body of a header, from the signature to the CRC: 11 bytes."""
    flags = header.show_decoded * _SHOW_DECODED | header.grey_as_colour * _GREY_AS_COLOUR
    flags |= header.colour_as_grey * _COLOUR_AS_GREY
    body = SIGNATURE + bytes(
        [
            header.version << 4 | flags,
            (header.scale - 1) << 4 | (header.width_remainder - 1) << 2 | (header.height_remainder - 1),
        ]
    )
    body += bytes.fromhex(header.model)
    return body + bytes([_crc8(body)])


def insert(stream: bytes, header: StreamHeader) -> bytes:
    """Insert the VCDC segment into a JPEG, after the JFIF and EXIF segments, which must come first.

    Raises `UndecodableImage` for a file that is not a JPEG, and `BadStream` for one that already has a VCDC segment.
    """
    position = 2
    for segment in leading_segments(stream):
        if _is_vcdc(stream, segment):
            raise BadStream("the stream already has a VCDC segment; strip it first")
        if segment.marker in (APP0, APP1) and segment.start == position:
            position = segment.end
    return stream[:position] + pack(header) + stream[position:]


def find(stream: bytes, *, max_segments: int = DEFAULT_MAX_SEGMENTS) -> StreamHeader | None:
    """Header in a JPEG's VCDC segment, or None for a JPEG without one.

    Raises `BadStream` if the segment is damaged, repeated, or of a later version, `UndecodableImage` for a file that is
    not a JPEG or ends within its headers, and `TooManySegments`.
    """
    found = [segment for segment in leading_segments(stream, max_segments) if _is_vcdc(stream, segment)]
    if len(found) > 1:
        raise BadStream(f"the stream has {len(found)} VCDC segments; it must have one")
    return _unpack(stream[found[0].start : found[0].end]) if found else None


def strip(stream: bytes) -> bytes:
    """JPEG without its VCDC segments, valid or not. Raises `UndecodableImage` as `find` does."""
    kept, position = [], 0
    for segment in leading_segments(stream):
        if _is_vcdc(stream, segment):
            kept.append(stream[position : segment.start])
            position = segment.end
    kept.append(stream[position:])
    return b"".join(kept)


def _is_vcdc(stream: bytes, segment: Segment) -> bool:
    return segment.marker == APP11 and stream.startswith(SIGNATURE, segment.start + 4, segment.end)


def _unpack(segment: bytes) -> StreamHeader:
    header = unpack_body(segment[4:])
    if header.colour_as_grey:
        raise BadStream(_RESERVED_FLAGS)
    return header


def unpack_body(body: bytes) -> StreamHeader:
    """Header of a body. Raises `BadStream` if it is damaged or of a later version."""
    if len(body) != BODY_BYTES or not body.startswith(SIGNATURE) or _crc8(body[:-1]) != body[-1]:
        raise BadStream("the stream's VCDC segment is damaged, or of a later version")
    version, flags = body[4] >> 4, body[4] & 0xF
    if version != VERSION:
        raise BadStream(f"the stream is of version {version}; this service reads version {VERSION}")
    if flags & ~(_SHOW_DECODED | _GREY_AS_COLOUR | _COLOUR_AS_GREY):
        raise BadStream(_RESERVED_FLAGS)
    try:
        return StreamHeader(
            model=body[6:10].hex(),
            scale=(body[5] >> 4) + 1,
            width_remainder=(body[5] >> 2 & 3) + 1,
            height_remainder=(body[5] & 3) + 1,
            show_decoded=bool(flags & _SHOW_DECODED),
            grey_as_colour=bool(flags & _GREY_AS_COLOUR),
            colour_as_grey=bool(flags & _COLOUR_AS_GREY),
        )
    except ValueError as error:
        raise BadStream(f"the stream's VCDC segment contradicts itself: {error}") from error


def _crc8(body: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1, which detects any three wrong bits in up to 119 bits (Koopman)."""
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x107 if crc & 0x80 else crc << 1
    return crc
