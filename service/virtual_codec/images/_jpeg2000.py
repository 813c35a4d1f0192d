"""JPEG 2000 files: checks of the codestream before OpenJPEG decodes it.

A codestream of a few bytes may declare millions of tiles, code blocks or precincts, for each of which a decoder
allocates memory. OpenJPEG also decodes truncated streams without an error.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from virtual_codec.bitstream import boxes, jpeg2000_code_stream
from virtual_codec.errors import UndecodableImage
from virtual_codec.images._limits import ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile

_MAX_TILES: Final = 4096
_MAX_PARTS: Final = 1 << 20  # code blocks, and precincts
_MAX_LAYERS: Final = 256
_SOT, _SOD, _COD, _COC, _EOC = 0xFF90, 0xFF93, 0xFF52, 0xFF53, 0xFFD9
_ICC_METHOD: Final = 2
_CMYK_SPACE: Final = 12


class _Size(NamedTuple):
    """Image and tile grid of a SIZ marker segment: sides in pixels, and the number of components."""

    width: int
    height: int
    tile_width: int
    tile_height: int
    components: int


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Check that a JPEG 2000 is complete and within the limits.

    Raises `UndecodableImage`, `TooManyPixels` and `TooManySegments`.
    """
    stream = jpeg2000_code_stream(file)
    if stream is None:
        raise UndecodableImage("the JPEG 2000 has no codestream")
    size = _read_size(stream)
    limits.check(size.width, size.height)
    tiles = -(-size.width // size.tile_width) * -(-size.height // size.tile_height)
    if tiles > _MAX_TILES:
        raise too_many("tiles", _MAX_TILES, tiles)
    _walk(stream, size, limits)
    profile = _profile(file)
    limits.check_profile(len(profile or b""))
    return StrippedFile(file=file, size=(size.width, size.height), profile=profile)


def _read_size(stream: bytes) -> _Size:
    if len(stream) < 44:
        raise UndecodableImage("the JPEG 2000 is truncated")
    right, bottom, left, top, tile_width, tile_height = (
        int.from_bytes(stream[at : at + 4], "big") for at in range(8, 32, 4)
    )
    components = int.from_bytes(stream[40:42], "big")
    if not 1 <= components <= 4:
        raise UndecodableImage(f"the JPEG 2000 has {components} components; 1 to 4 are supported")
    if right <= left or bottom <= top or not (tile_width and tile_height):
        raise UndecodableImage("the JPEG 2000 has no pixels")
    for index in range(components):
        depth = stream[42 + 3 * index]
        if depth & 0x80 or not 1 <= depth + 1 <= 16:
            raise UndecodableImage("the JPEG 2000 has signed samples, or more than 16 bits; save it with 8 or 16")
    return _Size(right - left, bottom - top, tile_width, tile_height, components)


def _walk(stream: bytes, size: _Size, limits: ImageLimits) -> None:
    """Check the markers of the main header and the tile parts. Raises if one costs too much or bytes are missing."""
    position = 2
    for _ in range(limits.max_segments):
        marker = int.from_bytes(stream[position : position + 2], "big")
        if marker == _EOC:
            return
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker < 0xFF4F or length < 2 or position + 2 + length > len(stream):
            raise UndecodableImage("the JPEG 2000 is damaged or truncated")
        if marker in (_COD, _COC):
            _check_style(stream[position + 4 : position + 2 + length], size, is_default=marker == _COD)
        if marker == _SOT:
            part = int.from_bytes(stream[position + 6 : position + 10], "big")
            end = position + part if part else len(stream.rstrip(b"\0")) - 2
            if part and part < 14:
                raise UndecodableImage("the JPEG 2000 is damaged or truncated")
            _check_tile_header(stream[position + 12 : end], size)
            position = end
        else:
            position += 2 + length
    raise too_many("marker segments", limits.max_segments)


def _check_tile_header(part: bytes, size: _Size) -> None:
    """Check the coding styles in the header of a tile part, up to its data."""
    position = 0
    while position + 4 <= len(part):
        marker, length = (int.from_bytes(part[at : at + 2], "big") for at in (position, position + 2))
        if marker == _SOD or length < 2:
            return
        if marker in (_COD, _COC):
            _check_style(part[position + 4 : position + 2 + length], size, is_default=marker == _COD)
        position += 2 + length


def _check_style(body: bytes, size: _Size, *, is_default: bool) -> None:
    """Check layers, code blocks and precincts of a COD or COC segment's body (ITU-T T.800, A.6)."""
    style = body[5:] if is_default else body[2:]
    if len(style) < 5:
        raise UndecodableImage("the JPEG 2000 is damaged: a coding style is truncated")
    if is_default and (layers := int.from_bytes(body[2:4], "big")) > _MAX_LAYERS:
        raise too_many("quality layers", _MAX_LAYERS, layers)
    if style[0] > 32:
        raise UndecodableImage("the JPEG 2000 is damaged: it has more than 32 resolutions")
    samples = size.width * size.height * size.components
    blocks = samples >> (style[1] & 15) + (style[2] & 15) + 4
    if blocks > _MAX_PARTS:
        raise too_many("code blocks", _MAX_PARTS, blocks)
    has_precincts = body[0] & 1 if is_default else body[1] & 1
    exponents = style[5:] if has_precincts else b"\xff"
    precincts = samples >> min((each & 15) + (each >> 4) for each in exponents or b"\0")
    if precincts > _MAX_PARTS:
        raise too_many("precincts", _MAX_PARTS, precincts)


def _profile(file: bytes) -> bytes | None:
    """ICC profile of a JP2's colour specification, or None. Raises `UndecodableImage` for CMYK."""
    header = next((box for box in boxes(file) if box.kind == b"jp2h"), None)
    if header is None:
        return None
    for box in boxes(file, header.start, header.end):
        if box.kind == b"colr":
            method, space = file[box.start], int.from_bytes(file[box.start + 3 : box.start + 7], "big")
            if method == _ICC_METHOD:
                return file[box.start + 3 : box.end]
            if method == 1 and space == _CMYK_SPACE:
                raise UndecodableImage("the JPEG 2000 is CMYK; save it as RGB")
    return None
