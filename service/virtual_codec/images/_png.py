"""PNG files: stripping to the chunks needed for pixels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import final

import numpy as np
from PIL import Image

from virtual_codec.errors import AnimatedImage, UndecodableImage
from virtual_codec.images._cicp import space_of_code_points
from virtual_codec.images._colour_space import SRGB_PRIMARIES, ColourSpace, colour_space, power, srgb_decoded
from virtual_codec.images._exif import Exif, read_exif
from virtual_codec.images._limits import ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile
from virtual_codec.images._wide import WideSamples

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2

_PERCEPTUAL = b"\0"  # rendering intent
_INFLATE_BLOCK_BYTES = 1 << 20
_SAMPLES = {GREY: 1, COLOUR: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a PNG to the chunks needed for pixels."""
    if file[12:16] != b"IHDR" or len(file) < 33:
        raise UndecodableImage("the PNG is damaged or truncated: it does not begin with its header")
    size = int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big")
    limits.check(*size)
    depth, kind = file[24], file[25]
    kept, position = [SIGNATURE], len(SIGNATURE)
    ancillary = _AncillaryChunks(limits)
    has_pixels = False
    for count in range(limits.max_chunks):
        end = position + 12 + int.from_bytes(file[position : position + 4], "big")
        name, body = file[position + 4 : position + 8], slice(position + 8, end - 4)
        if end > len(file) or len(name) < 4:
            if not has_pixels and name != b"IDAT":
                raise UndecodableImage("the PNG is truncated")
            if name == b"IDAT":
                kept.append(_chunk(name, file[body]))
            kept.append(_chunk(b"IEND", b""))  # the decoder detects missing rows
            return replace(ancillary.stripped(b"".join(kept)), is_complete=False)
        if name == b"IHDR" and count:
            raise UndecodableImage("the PNG is damaged: it has two headers")
        if name == b"acTL" and (frames := int.from_bytes(file[body][:4], "big")) > 1:
            raise AnimatedImage("the PNG is animated; send one frame of it", limit=1, actual=frames)
        if name == b"tRNS":
            ancillary.transparent = file[body]
            kept.append(_chunk(name, _in_pixel_values(file[body], depth, kind)))
        elif name in _KEPT_CHUNKS:
            kept.append(file[position:end])
            has_pixels = has_pixels or name == b"IDAT"
        elif not has_pixels or name == b"eXIf":
            ancillary.read(name, file[body])
        position = end
        if name == b"IEND":
            return ancillary.stripped(b"".join(kept))
    raise too_many("chunks", limits.max_chunks)


@final
class _AncillaryChunks:
    """Ancillary chunks of a PNG that decoding needs. The first chunk of each kind counts."""

    def __init__(self, limits: ImageLimits) -> None:
        self.transparent: bytes | None = None
        self._limits = limits
        self._exif: Exif | None = None
        self._profile: bytes | None = None
        self._is_srgb = False
        self._code_points: bytes | None = None
        self._gamma: bytes | None = None
        self._chromaticities: bytes | None = None

    def read(self, name: bytes, body: bytes) -> None:
        """Read a chunk."""
        if name == b"eXIf" and self._exif is None:
            self._exif = read_exif(body)
        elif name == b"iCCP" and self._profile is None:
            self._profile = _inflate_profile(body, self._limits)
        elif name == b"sRGB":
            self._is_srgb = True
        elif name == b"cICP" and len(body) == 4:
            self._code_points = self._code_points or body
        elif name == b"gAMA" and len(body) == 4:
            self._gamma = self._gamma or body
        elif name == b"cHRM" and len(body) == 32:
            self._chromaticities = self._chromaticities or body

    def stripped(self, file: bytes) -> StrippedFile:
        """Stripped file with the properties of these chunks. Priority: cICP, iCCP, sRGB, then gAMA and cHRM."""
        exif = self._exif or Exif()
        has_code_points = self._code_points is not None
        return StrippedFile(
            file=file,
            size=(int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big")),
            orientation=exif.orientation,
            profile=None if has_code_points else self._profile,
            space=self._space() or (None if has_code_points or self._is_srgb or self._gamma else exif.space),
            wide=(lambda: _read_wide(file, self.transparent)) if file[24] == 16 else None,
        )

    def _space(self) -> ColourSpace | None:
        if self._code_points is not None:
            primaries, transfer, matrix, is_full_range = self._code_points
            if matrix or not is_full_range:
                raise UndecodableImage("the PNG has samples of video range; save it with full range")
            return space_of_code_points("PNG", primaries, transfer)
        if self._profile is not None or self._is_srgb or (self._gamma is None and self._chromaticities is None):
            return None
        gamma = int.from_bytes(self._gamma or b"", "big") / 100_000
        points = [int.from_bytes((self._chromaticities or b"")[at : at + 4], "big") / 100_000 for at in range(0, 32, 4)]
        primaries_xy = SRGB_PRIMARIES
        if self._chromaticities is not None:
            white, *colours = zip(points[::2], points[1::2], strict=True)
            primaries_xy = (colours[0], colours[1], colours[2], white)
        is_usual = not 0.05 < gamma < 5 or abs(gamma - 1 / 2.2) < 0.01  # 1/2.2 means sRGB's own curve
        try:
            return colour_space(primaries_xy, srgb_decoded if is_usual else power(1 / gamma))
        except ValueError:
            return None


def _read_wide(file: bytes, transparent: bytes | None) -> WideSamples:
    """Samples of a PNG of 16 bits."""
    from virtual_codec.images._png_rows import read_16_bit_rows  # compiled loops, not needed in the API process

    width, height, kind = int.from_bytes(file[16:20], "big"), int.from_bytes(file[20:24], "big"), file[25]
    if kind not in (GREY, COLOUR, 4, 6) or file[26] or file[27] or file[28] > 1:
        raise UndecodableImage("the PNG is damaged: its header has invalid values")
    key: tuple[int, ...] | None = None
    if transparent is not None and kind in (GREY, COLOUR) and len(transparent) >= 2 * _SAMPLES[kind]:
        key = tuple(int.from_bytes(transparent[at : at + 2], "big") for at in range(0, 2 * _SAMPLES[kind], 2))
    return WideSamples(
        width=width,
        height=height,
        colours="rgb" if kind in (COLOUR, 6) else "grey",
        bands=read_16_bit_rows(_data(file), width, height, _SAMPLES[kind], is_interlaced=file[28] == 1),
        has_alpha=kind in (4, 6),
        transparent=key,
    )


def _data(file: bytes) -> Iterator[bytes]:
    """Contents of the data chunks."""
    position = len(SIGNATURE)
    while position < len(file):
        end = position + 12 + int.from_bytes(file[position : position + 4], "big")
        if file[position + 4 : position + 8] == b"IDAT" and end - position > 12:
            yield file[position + 8 : end - 4]
        position = end


def check_whole(stripped: StrippedFile, loaded: Image.Image) -> None:
    """Raise `UndecodableImage` if rows are missing, which the decoder leaves black when the deflate stream ends early.

    Counting the rows means inflating again, which costs as much as decoding. Therefore only pictures with a black row
    at the end are checked: one of the last two rows, because an interlaced file ends with an odd row.
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
    """Signature and header of a PNG of 8 bits a sample, grey or colour, in sRGB."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return SIGNATURE + _chunk(b"IHDR", sides + bytes([8, kind, 0, 0, 0])) + _chunk(b"sRGB", _PERCEPTUAL)


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
                total += len(stream.decompress(deflated, _INFLATE_BLOCK_BYTES))
                deflated = stream.unconsumed_tail
            position = end
    except zlib.error as error:
        raise UndecodableImage("the PNG is damaged: its pixels cannot be inflated") from error
    return total


def _in_pixel_values(transparent: bytes, depth: int, kind: int) -> bytes:
    """Transparent colour in the decoder's samples. (The decoder widens 2 and 4 bits, and narrows 16 bits to 8.)"""
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
