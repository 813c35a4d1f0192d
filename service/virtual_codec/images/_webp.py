"""WebP files: stripping to the chunks needed for pixels."""

from __future__ import annotations

from virtual_codec.errors import AnimatedImage, UndecodableImage
from virtual_codec.images._exif import Exif, read_exif
from virtual_codec.images._limits import ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile

_WEBP_CHUNKS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"})


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a WebP to the chunks needed for pixels, after checking the sides of the canvas."""
    size = _webp_sides(file)
    limits.check(*size)
    end = 8 + _u32(file, 4)
    if end > len(file):
        raise UndecodableImage("the WebP is truncated")
    kept: list[bytes] = []
    position, frames = 12, 0
    exif: Exif | None = None
    for _ in range(limits.max_segments + 1):  # the last iteration finds the end
        if position + 8 > end:
            body = b"WEBP" + b"".join(kept)
            riff = b"RIFF" + len(body).to_bytes(4, "little") + body
            return StrippedFile(
                file=riff, size=size, orientation=(exif or Exif()).orientation, space=(exif or Exif()).space
            )
        name, end_of_body = file[position : position + 4], position + 8 + _u32(file, position + 4)
        if end_of_body > end:
            raise UndecodableImage("the WebP is truncated")
        following = end_of_body + end_of_body % 2
        if name == b"EXIF" and exif is None:
            exif = read_exif(file[position + 8 : end_of_body].removeprefix(b"Exif\0\0"))
        elif name in _WEBP_CHUNKS:
            if name == b"ICCP":
                limits.check_profile(end_of_body - position - 8)
            kept.append(file[position:following])
            frames += name == b"ANMF"
        if frames > 1:
            raise AnimatedImage("the WebP is animated; send one frame of it", limit=1, actual=frames)
        position = following
    raise too_many("chunks", limits.max_segments)


def _webp_sides(file: bytes) -> tuple[int, int]:
    if len(file) < 30:
        raise UndecodableImage("the WebP is truncated")
    match file[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(file[24:27], "little"), 1 + int.from_bytes(file[27:30], "little")
        case b"VP8 ":
            return _u16(file, 26) & 0x3FFF, _u16(file, 28) & 0x3FFF
        case b"VP8L":
            bits = _u32(file, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case _:
            raise UndecodableImage("the WebP is damaged: it does not begin with a picture")


def _u16(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 2], "little")


def _u32(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 4], "little")
