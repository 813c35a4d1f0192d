"""GIF: its first picture, and whether there is a second."""

from __future__ import annotations

from virtual_codec.errors import AnimatedImage, TooManySegments, UndecodableImage
from virtual_codec.images._essence import Essence
from virtual_codec.images._limits import ImageLimits, too_many

_EXTENSION, _IMAGE, _TRAILER = b"!", b",", b";"
_GRAPHIC_CONTROL = 0xF9


def essence(file: bytes, limits: ImageLimits) -> Essence:
    """The palette, the first picture and its transparency."""
    screen = _u16(file, 6), _u16(file, 8)
    limits.check(*screen)
    place = 13 + _palette_bytes(file, 10)
    kept = [file[:place]]
    blocks = 0
    while blocks < limits.max_blocks:
        kind = file[place : place + 1]
        if kind == _EXTENSION:
            end, count = _end_of_blocks(file, place + 2, limits, blocks)
            if file[place + 1] == _GRAPHIC_CONTROL:
                kept[1:] = [file[place:end]]
        elif kind == _IMAGE:
            left, top, width, height = (_u16(file, place + offset) for offset in (1, 3, 5, 7))
            size = max(screen[0], left + width), max(screen[1], top + height)
            limits.check(*size)
            data = place + 10 + _palette_bytes(file, place + 9)
            end, count = _end_of_blocks(file, data + 1, limits, blocks)
            kept += [file[place:end], _TRAILER]
            if _has_another(file, end, limits, blocks + count):
                raise AnimatedImage("the GIF is animated; send one frame of it", limit=1, actual=2)
            return Essence(file=b"".join(kept), size=size)
        elif kind == b"\0":  # a stray terminator
            end, count = place + 1, 1
        else:
            raise UndecodableImage("the GIF is damaged or truncated: there is no picture in it")
        place, blocks = end, blocks + count
    raise too_many("data blocks", limits.max_blocks)


def _has_another(file: bytes, place: int, limits: ImageLimits, blocks: int) -> bool:
    """Whether a second picture follows. What cannot be followed is none: viewers stop there too."""
    while blocks < limits.max_blocks:
        kind = file[place : place + 1]
        if kind == _IMAGE:
            return True
        if kind == _EXTENSION:
            try:
                place, count = _end_of_blocks(file, place + 2, limits, blocks)
            except (TooManySegments, UndecodableImage):
                return False
        elif kind == b"\0":
            place, count = place + 1, 1
        else:
            return False
        blocks += count
    return False


def _end_of_blocks(file: bytes, place: int, limits: ImageLimits, blocks: int) -> tuple[int, int]:
    """Where a chain of sub-blocks ends, and how many there were; `blocks` of the file came before."""
    for count in range(1, limits.max_blocks - blocks + 1):
        if place >= len(file):
            raise UndecodableImage("the GIF is truncated")
        length = file[place]
        place += 1 + length
        if length == 0:
            return place, count
    raise too_many("data blocks", limits.max_blocks)


def _palette_bytes(file: bytes, place: int) -> int:
    if place >= len(file):
        raise UndecodableImage("the GIF is truncated")
    flags = file[place]
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _u16(file: bytes, place: int) -> int:
    return int.from_bytes(file[place : place + 2], "little")
