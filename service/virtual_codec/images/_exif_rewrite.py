"""EXIF data, rewritten without thumbnails, structure of the old file and, unless wanted, location.

EXIF is a TIFF file of directories (IFDs): entries of tag, type, count and value. Values are copied as they are; only
their offsets change. Source: CIPA DC-008 (Exif 2.32), TIFF 6.0.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from virtual_codec.errors import UndecodableImage

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _COLOUR_SPACE = 0x0112, 0x8769, 0x8825, 0xA001
_SHORT, _LONG = 3, 4
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_MAX_ENTRIES: Final = 1000  # of a directory; cameras write about 60
_MAX_BYTES: Final = 256 * 1024  # of all values of a directory, which may overlap in a hostile file

# Descriptive tags of the first directory: description, make, model, orientation, resolution, software, date, artist,
# copyright, host, rating, and those that Windows writes. The others are about samples and offsets of the old file.
_DESCRIPTIVE: Final = frozenset(
    {0x010E, 0x010F, 0x0110, _ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298}
    | {0x4746, 0x4749, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}
)
# Sizes of the old picture, and the pointer to the interoperability directory.
_STALE: Final = frozenset({0xA002, 0xA003, 0xA005})
_MAKER_NOTE: Final = 0x927C  # private data of the camera's maker, previews and locations among them


class _Entry(NamedTuple):
    tag: int
    kind: int
    items: int
    value: bytes


def rewrite_exif(tiff: bytes, *, is_complete: bool) -> bytes | None:
    """Rewrite EXIF data (or a TIFF file's first directory) for an upright sRGB picture; None if nothing is left.

    Orientation becomes 1 and the colour space sRGB. Location and maker notes stay only if `is_complete`.
    Raises `UndecodableImage` for damaged data.
    """
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[tiff[:4]]
        main = {
            it.tag: it for it in _entries(tiff, order, _offset(tiff, order, 4), _DESCRIPTIVE | {_EXIF_IFD, _GPS_IFD})
        }
        kept = [it for tag, it in main.items() if tag in _DESCRIPTIVE and tag != _ORIENTATION]
        camera = [it for it in _directory(tiff, order, main.get(_EXIF_IFD)) if it.tag not in _STALE]
        if not is_complete:
            camera = [it for it in camera if it.tag != _MAKER_NOTE]
        camera = [_short(order, it.tag, 1) if it.tag == _COLOUR_SPACE else it for it in camera]
        location = _directory(tiff, order, main.get(_GPS_IFD)) if is_complete else []
    except (KeyError, struct.error, ValueError) as error:
        raise UndecodableImage("the EXIF data is damaged; metadata=none leaves it out") from error
    if not (kept or camera or location):
        return None
    return _written(order, [*kept, _short(order, _ORIENTATION, 1)], camera, location)


def _offset(tiff: bytes, order: str, position: int) -> int:
    return int(struct.unpack_from(order + "I", tiff, position)[0])


def _directory(tiff: bytes, order: str, pointer: _Entry | None) -> list[_Entry]:
    return [] if pointer is None else _entries(tiff, order, _offset(pointer.value, order, 0))


def _entries(tiff: bytes, order: str, start: int, tags: frozenset[int] | None = None) -> list[_Entry]:
    """Entries of the directory at `start`, those of `tags` alone: a TIFF file's strips may be gigabytes."""
    (count,) = struct.unpack_from(order + "H", tiff, start)
    if count > _MAX_ENTRIES:
        raise ValueError("too many entries")
    entries, total = [], 0
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, items = struct.unpack_from(order + "HHI", tiff, position)
        size = _TYPE_BYTES.get(kind, 0) * items
        where = position + 8 if size <= 4 else _offset(tiff, order, position + 8)
        if tags is not None and tag not in tags:
            continue
        total += size
        value = tiff[where : where + size]
        if len(value) < size or total > _MAX_BYTES:
            raise ValueError("a value runs past the end")
        if size:
            entries.append(_Entry(tag, kind, items, value))
    return entries


def _short(order: str, tag: int, value: int) -> _Entry:
    return _Entry(tag, _SHORT, 1, struct.pack(order + "H", value))


def _written(order: str, main: list[_Entry], camera: list[_Entry], location: list[_Entry]) -> bytes:
    """Write a TIFF file of these directories, those that have entries."""
    parts = [(tag, entries) for tag, entries in ((_EXIF_IFD, camera), (_GPS_IFD, location)) if entries]
    pointers = [_Entry(tag, _LONG, 1, bytes(4)) for tag, _ in parts]
    position = 8 + len(_packed(order, [*main, *pointers], 0))
    bodies = []
    for index, (tag, entries) in enumerate(parts):
        pointers[index] = _Entry(tag, _LONG, 1, struct.pack(order + "I", position))
        bodies.append(_packed(order, entries, position))
        position += len(bodies[-1])
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + _packed(order, [*main, *pointers], 8) + b"".join(bodies)


def _packed(order: str, entries: list[_Entry], start: int) -> bytes:
    """Pack a directory that stands at `start`, its long values behind it."""
    table, values = [struct.pack(order + "H", len(entries))], b""
    values_start = start + 2 + 12 * len(entries) + 4
    for tag, kind, items, value in sorted(entries):
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(order + "I", values_start + len(values))
            values += value + bytes(len(value) % 2)
        table.append(struct.pack(order + "HHI", tag, kind, items) + field)
    return b"".join([*table, bytes(4), values])
