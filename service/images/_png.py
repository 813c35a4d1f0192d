"""PNG: which chunks are read."""

from __future__ import annotations

import zlib

from service.errors import AnimatedImage, UndecodableImage
from service.images._essence import Essence
from service.images._limits import ImageLimits
from service.images._tiff import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2

_MAX_CHUNKS = 131_072  # 64 MiB in chunks of 512 bytes; writers use 8 KiB and more
_MAX_PROFILE_BYTES = 4 << 20  # the largest printer profiles have 2 MiB
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def essence(file: bytes, limits: ImageLimits) -> Essence:
    """Only the chunks that make pixels."""
    if file[12:16] != b"IHDR" or len(file) < 33:
        raise UndecodableImage("the PNG is damaged or truncated: it does not begin with its header")
    size = int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big")
    limits.check(*size)
    depth, kind = file[24], file[25]
    kept, position = [SIGNATURE], len(SIGNATURE)
    orientation: int | None = None
    profile: bytes | None = None
    for count in range(_MAX_CHUNKS):
        end = position + 12 + int.from_bytes(file[position : position + 4], "big")
        name, body = file[position + 4 : position + 8], slice(position + 8, end - 4)
        if end > len(file) or len(name) < 4:
            raise UndecodableImage("the PNG is truncated")
        if name == b"IHDR" and count:
            raise UndecodableImage("the PNG is damaged: it has two headers")
        if name == b"acTL" and int.from_bytes(file[body][:4], "big") > 1:
            raise AnimatedImage("the PNG is animated; send one frame of it")
        if name == b"tRNS":
            kept.append(_chunk(name, _in_pixel_values(file[body], depth, kind)))
        elif name in _KEPT:
            kept.append(file[position:end])
        elif name == b"eXIf" and orientation is None:
            orientation = exif_orientation(file[body])
        elif name == b"iCCP" and profile is None:
            profile = _inflate_profile(file[body])
        position = end
        if name == b"IEND":
            return Essence(file=b"".join(kept), size=size, orientation=orientation or 1, profile=profile)
    raise UndecodableImage(f"the PNG has more than {_MAX_CHUNKS} chunks")


def header(width: int, height: int, kind: int) -> bytes:
    """Signature and header of a PNG of 8 bits a sample, grey or colour."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return SIGNATURE + _chunk(b"IHDR", sides + bytes([8, kind, 0, 0, 0]))


def trailer(deflated: bytes) -> bytes:
    """The compressed rows, and the end of the PNG."""
    return _chunk(b"IDAT", deflated) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return b"".join((len(body).to_bytes(4, "big"), name, body, checksum.to_bytes(4, "big")))


def _in_pixel_values(transparent: bytes, depth: int, kind: int) -> bytes:
    """The transparent colour as the decoder's pixels will have it: it widens 2 and 4 bits, and halves 16."""
    if kind == GREY and depth in (2, 4) and len(transparent) >= 2:
        grey = int.from_bytes(transparent[:2], "big") & ((1 << depth) - 1)
        return (grey * 255 // ((1 << depth) - 1)).to_bytes(2, "big")
    if kind == COLOUR and depth == 16 and len(transparent) >= 6:
        return bytes([0, transparent[0], 0, transparent[2], 0, transparent[4]])
    return transparent


def _inflate_profile(body: bytes) -> bytes | None:
    """The ICC profile; None for what is none: a bad profile is no reason to refuse a picture."""
    _, _, deflated = body.partition(b"\0")
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(deflated[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if stream.eof else None
