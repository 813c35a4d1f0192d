"""PNG files, stripped to the chunks that make pixels."""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

from virtual_codec.errors import AnimatedImage, UndecodableImage
from virtual_codec.images._limits import ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile
from virtual_codec.images._tiff import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2

_INFLATED_AT_ONCE = 1 << 20
_SAMPLES = {GREY: 1, COLOUR: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a PNG to the chunks that make pixels."""
    if file[12:16] != b"IHDR" or len(file) < 33:
        raise UndecodableImage("the PNG is damaged or truncated: it does not begin with its header")
    size = int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big")
    limits.check(*size)
    depth, kind = file[24], file[25]
    kept, position = [SIGNATURE], len(SIGNATURE)
    orientation: int | None = None
    profile: bytes | None = None
    has_pixels = False
    for count in range(limits.max_chunks):
        end = position + 12 + int.from_bytes(file[position : position + 4], "big")
        name, body = file[position + 4 : position + 8], slice(position + 8, end - 4)
        if end > len(file) or len(name) < 4:
            if not has_pixels and name != b"IDAT":
                raise UndecodableImage("the PNG is truncated")
            if name == b"IDAT":
                kept.append(_chunk(name, file[body]))
            kept.append(_chunk(b"IEND", b""))  # if rows are missing, the decoder finds out
            return StrippedFile(file=b"".join(kept), size=size, orientation=orientation or 1, profile=profile)
        if name == b"IHDR" and count:
            raise UndecodableImage("the PNG is damaged: it has two headers")
        if name == b"acTL" and (frames := int.from_bytes(file[body][:4], "big")) > 1:
            raise AnimatedImage("the PNG is animated; send one frame of it", limit=1, actual=frames)
        if name == b"tRNS":
            kept.append(_chunk(name, _in_pixel_values(file[body], depth, kind)))
        elif name in _KEPT:
            kept.append(file[position:end])
            has_pixels = has_pixels or name == b"IDAT"
        elif name == b"eXIf" and orientation is None:
            orientation = exif_orientation(file[body])
        elif name == b"iCCP" and profile is None:
            profile = _inflate_profile(file[body], limits)
        position = end
        if name == b"IEND":
            return StrippedFile(file=b"".join(kept), size=size, orientation=orientation or 1, profile=profile)
    raise too_many("chunks", limits.max_chunks)


def check_whole(stripped: StrippedFile, loaded: Image.Image) -> None:
    """Raise `UndecodableImage` where rows are missing: the decoder leaves them black if the deflate stream ends early.

    Inflating once more costs as much as decoding, so only a picture is counted that ends in a black row: one of the
    last two, since an interlaced file ends with an odd one.
    """
    width, height = loaded.size
    last = np.asarray(loaded.crop((0, max(0, height - 2), width, height)))
    if all(row.any() for row in last):
        return
    depth, kind, is_interlaced = stripped.file[24], stripped.file[25], stripped.file[28]
    passes = _ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    bits = depth * _SAMPLES.get(kind, 1)
    due = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            due += rows * (1 + (columns * bits + 7) // 8)
    if _inflated_bytes(stripped.file, due) < due:
        raise UndecodableImage("the PNG is truncated: its last rows are missing")


def header(width: int, height: int, kind: int) -> bytes:
    """Signature and header of a PNG of 8 bits a sample, grey or colour."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return SIGNATURE + _chunk(b"IHDR", sides + bytes([8, kind, 0, 0, 0]))


def trailer(deflated: bytes) -> bytes:
    """Compressed rows and end of a PNG."""
    return _chunk(b"IDAT", deflated) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return b"".join((len(body).to_bytes(4, "big"), name, body, checksum.to_bytes(4, "big")))


def _inflated_bytes(file: bytes, most: int) -> int:
    """Size of the pixels' inflated data in bytes, counted up to `most`."""
    stream = zlib.decompressobj()
    position, total = len(SIGNATURE), 0
    try:
        while position < len(file) and total < most and not stream.eof:
            end = position + 12 + int.from_bytes(file[position : position + 4], "big")
            deflated = file[position + 8 : end - 4] if file[position + 4 : position + 8] == b"IDAT" else b""
            while deflated and total < most and not stream.eof:
                total += len(stream.decompress(deflated, _INFLATED_AT_ONCE))
                deflated = stream.unconsumed_tail
            position = end
    except zlib.error as error:
        raise UndecodableImage("the PNG is damaged: its pixels cannot be inflated") from error
    return total


def _in_pixel_values(transparent: bytes, depth: int, kind: int) -> bytes:
    """Transparent colour in the decoder's samples: it widens 2 and 4 bits, and narrows 16 bits to 8."""
    if kind == GREY and depth in (2, 4) and len(transparent) >= 2:
        grey = int.from_bytes(transparent[:2], "big") & ((1 << depth) - 1)
        return (grey * 255 // ((1 << depth) - 1)).to_bytes(2, "big")
    if kind == COLOUR and depth == 16 and len(transparent) >= 6:
        return bytes([0, transparent[0], 0, transparent[2], 0, transparent[4]])
    return transparent


def _inflate_profile(body: bytes, limits: ImageLimits) -> bytes | None:
    """ICC profile of an iCCP chunk, or None for an invalid one. Raises `ProfileTooLarge` for a decompression bomb."""
    _, _, deflated = body.partition(b"\0")
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(deflated[1:], limits.max_profile_bytes + 1)
    except zlib.error:
        return None
    limits.check_profile(len(profile))
    return profile if stream.eof else None
