"""AVIF files: hiding of EXIF data from the decoder, and the colour space in their boxes or, without them, in EXIF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from virtual_codec import bitstream
from virtual_codec.images._cicp import space_of_code_points
from virtual_codec.images._colour_space import ColourSpace
from virtual_codec.images._exif import read_exif
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._pillow import open_image
from virtual_codec.images._stripped import StrippedFile

_MAX_BOXES = 4096
_UNSPECIFIED = 2  # a code point of ITU-T H.273


class _Box(NamedTuple):
    kind: bytes
    start: int  # of the content
    end: int


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Hide an AVIF's EXIF from the decoder, because boxes and not EXIF state the rotation of an AVIF.

    The coded picture states the colour space if no box does, and EXIF if neither does. Raises `UndecodableImage` for
    high dynamic range.
    """
    space: ColourSpace | None = None
    for box in _boxes(file, 0, len(file)):
        if box.kind == b"meta":
            points = _code_points(file, box) or bitstream.avif_code_points(file) or (_UNSPECIFIED, _UNSPECIFIED)
            space = space_of_code_points("AVIF", *points)
            if points[0] == _UNSPECIFIED and file.find(b"Exif", box.start, box.end) >= 0:
                space = _space_of_exif(file, limits) or space
            content = file[box.start : box.end].replace(b"Exif", b"free")
            file = file[: box.start] + content + file[box.end :]
            break
    return StrippedFile(file=file, size=None, space=space)


def _space_of_exif(file: bytes, limits: ImageLimits) -> ColourSpace | None:
    with open_image(file, "AVIF", ("AVIF",), limits) as header:
        exif: bytes = header.info.get("exif", b"")
    return read_exif(exif.removeprefix(b"Exif\0\0")).space


def _code_points(file: bytes, meta: _Box) -> tuple[int, int] | None:
    """Primaries and transfer function in the primary item's colour properties (ISO/IEC 23008-12, 9.3).

    They are unspecified where an ICC profile states the colours; None where no property does.
    """
    properties: list[_Box] = []
    associated: dict[int, list[int]] = {}
    primary = -1
    points: tuple[int, int] | None = None
    for box in _boxes(file, meta.start + 4, meta.end):
        if box.kind == b"pitm":
            primary = int.from_bytes(file[box.start + 4 : box.start + (6 if file[box.start] == 0 else 8)], "big")
        elif box.kind == b"iprp":
            for part in _boxes(file, box.start, box.end):
                if part.kind == b"ipco":
                    properties = list(_boxes(file, part.start, part.end))
                elif part.kind == b"ipma":
                    associated |= _associations(file[part.start : part.end])
    for index in associated.get(primary, []):
        if 0 < index <= len(properties) and properties[index - 1].kind == b"colr":
            body = file[properties[index - 1].start : properties[index - 1].end]
            if body[:4] == b"nclx" and len(body) >= 10:
                return int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
            points = _UNSPECIFIED, _UNSPECIFIED  # a profile; an nclx may follow
    return points


def _associations(body: bytes) -> dict[int, list[int]]:
    """Property numbers of each item in an ipma box."""
    id_bytes, index_bytes = (2 if body[:1] == b"\0" else 4), (2 if body[3:4] and body[3] & 1 else 1)
    found: dict[int, list[int]] = {}
    position = 8
    for _ in range(min(int.from_bytes(body[4:8], "big"), _MAX_BOXES)):
        item = int.from_bytes(body[position : position + id_bytes], "big")
        count = int.from_bytes(body[position + id_bytes : position + id_bytes + 1], "big")
        position += id_bytes + 1
        mask = (1 << (8 * index_bytes - 1)) - 1  # without the flag for essential properties
        found[item] = [
            int.from_bytes(body[start : start + index_bytes], "big") & mask
            for start in range(position, position + count * index_bytes, index_bytes)
        ]
        position += count * index_bytes
    return found


def _boxes(file: bytes, start: int, end: int) -> Iterator[_Box]:
    """Boxes between two offsets; the iteration ends at a box of an impossible or 64-bit size."""
    for _ in range(_MAX_BOXES):
        size = int.from_bytes(file[start : start + 4], "big")
        if start + 8 > end or size < 8:
            return
        yield _Box(file[start + 4 : start + 8], start + 8, min(start + size, end))
        start += size
