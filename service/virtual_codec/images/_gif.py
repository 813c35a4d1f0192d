"""GIF files: stripping to the first picture. Animated files are refused."""

from __future__ import annotations

from virtual_codec.errors import AnimatedImage, TooManySegments, UndecodableImage
from virtual_codec.images._limits import ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile

_EXTENSION, _IMAGE, _TRAILER, _TERMINATOR = b"!", b",", b";", b"\0"
_GRAPHIC_CONTROL = 0xF9


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a GIF to the palette, the first picture and its transparency."""
    screen = _u16(file, 6), _u16(file, 8)
    if all(screen):
        limits.check(*screen)
    offset = 13 + _palette_bytes(file, 10)
    kept = [file[:offset]]
    blocks = 0
    while blocks < limits.max_blocks:
        kind = file[offset : offset + 1]
        if kind == _EXTENSION:
            end, count = _end_of_blocks(file, offset + 2, limits, blocks)
            if file[offset + 1] == _GRAPHIC_CONTROL:
                kept[1:] = [file[offset:end]]
        elif kind == _IMAGE:
            left, top, width, height = (_u16(file, offset + 1 + 2 * index) for index in range(4))
            size = max(screen[0], left + width), max(screen[1], top + height)
            limits.check(*size)
            if not all(screen):  # written by some tools, and shown by viewers at the size of the picture
                kept[0] = kept[0][:6] + b"".join(side.to_bytes(2, "little") for side in size) + kept[0][10:]
            data = offset + 10 + _palette_bytes(file, offset + 9)
            end, count = _end_of_blocks(file, data + 1, limits, blocks, cut=True)
            kept += [file[offset:end], _TERMINATOR if end == len(file) else b"", _TRAILER]
            if _has_another(file, end, limits, blocks + count):
                raise AnimatedImage("the GIF is animated; send one frame of it", limit=1, actual=2)
            return StrippedFile(file=b"".join(kept), size=size)
        elif kind == b"\0":  # a stray terminator
            end, count = offset + 1, 1
        else:
            raise UndecodableImage("the GIF is damaged or truncated: there is no picture in it")
        offset, blocks = end, blocks + count
    raise too_many("data blocks", limits.max_blocks)


def _has_another(file: bytes, offset: int, limits: ImageLimits, blocks: int) -> bool:
    """True if a second picture follows. The search ends at the first invalid block, as in viewers."""
    while blocks < limits.max_blocks:
        kind = file[offset : offset + 1]
        if kind == _IMAGE:
            return True
        if kind == _EXTENSION:
            try:
                offset, count = _end_of_blocks(file, offset + 2, limits, blocks)
            except (TooManySegments, UndecodableImage):
                return False
        elif kind == b"\0":
            offset, count = offset + 1, 1
        else:
            return False
        blocks += count
    return False


def _end_of_blocks(file: bytes, offset: int, limits: ImageLimits, blocks: int, *, cut: bool = False) -> tuple[int, int]:
    """End of a chain of sub-blocks, and their number; `blocks` is the number of earlier ones in the file.

    With `cut` the chain may end at the end of the file, between two sub-blocks.
    """
    for count in range(1, limits.max_blocks - blocks + 1):
        if offset >= len(file):
            if cut and offset == len(file):
                return offset, count
            raise UndecodableImage("the GIF is truncated")
        length = file[offset]
        offset += 1 + length
        if length == 0:
            return offset, count
    raise too_many("data blocks", limits.max_blocks)


def _palette_bytes(file: bytes, offset: int) -> int:
    if offset >= len(file):
        raise UndecodableImage("the GIF is truncated")
    flags = file[offset]
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _u16(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 2], "little")
