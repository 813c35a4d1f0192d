"""Rewriting of EXIF data without thumbnails, file structure and, unless requested, location.

EXIF is a TIFF file of directories (IFDs): entries of tag, type, count and value. Values are copied unchanged; only
their offsets change. Source: CIPA DC-008 (Exif 2.32), TIFF 6.0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from virtual_codec.errors import TooManySegments, UndecodableImage
from virtual_codec.images._limits import DEFAULT_LIMITS
from virtual_codec.images._tiff_directory import Entry, TiffReader

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _COLOUR_SPACE = 0x0112, 0x8769, 0x8825, 0xA001
_SHORT, _LONG = 3, 4
_LAST_TYPE: Final = 12  # of TIFF 6.0; later ones hold offsets
_MAX_BYTES: Final = 256 * 1024  # limit on all values of a directory, which may overlap in a hostile file

# Descriptive tags of the first directory: description, make, model, orientation, resolution, software, date, artist,
# copyright, host, rating, and the tags of Windows. All others describe samples and offsets of the old file.
_DESCRIPTIVE_TAGS: Final = frozenset(
    {0x010E, 0x010F, 0x0110, _ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298}
    | {0x4746, 0x4749, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}
)
# Sizes of the old picture, and the pointer to the interoperability directory.
_STALE_TAGS: Final = frozenset({0xA002, 0xA003, 0xA005})
_MAKER_NOTE: Final = 0x927C  # private data of the camera's maker, which may contain previews and locations


_RESOLUTION_TAGS: Final = frozenset({0x011A, 0x011B, 0x0128})


class ExifContents(NamedTuple):
    """Kinds of content in EXIF data that can be kept, each true or false."""

    is_descriptive: bool = False
    has_location: bool = False
    has_maker_note: bool = False


class _Entry(NamedTuple):
    tag: int
    kind: int
    items: int
    value: bytes


class _Directories(NamedTuple):
    order: str  # of bytes, as `struct` names it
    main: list[_Entry]
    camera: list[_Entry]
    location: list[_Entry]


def rewrite_exif(tiff: bytes, *, is_complete: bool) -> bytes | None:
    """Rewrite EXIF data (or a TIFF file's first directory) for an upright sRGB picture; None if nothing is left.

    Orientation becomes 1 and the colour space sRGB. Location and maker notes stay only if `is_complete`.
    Raises `UndecodableImage` for damaged data.
    """
    order, main, camera, location = _read(tiff)
    if not is_complete:
        camera, location = [entry for entry in camera if entry.tag != _MAKER_NOTE], []
    camera = [_short(order, entry.tag, 1) if entry.tag == _COLOUR_SPACE else entry for entry in camera]
    if not (main or camera or location):
        return None
    return _written(order, [*main, _short(order, _ORIENTATION, 1)], camera, location)


def exif_contents(tiff: bytes) -> ExifContents:
    """Kinds of content in EXIF data. Resolution alone, as in every TIFF, does not count. Raises as `rewrite_exif`."""
    _, main, camera, location = _read(tiff)
    return ExifContents(
        is_descriptive=any(entry.tag not in _RESOLUTION_TAGS for entry in main) or bool(camera or location),
        has_location=bool(location),
        has_maker_note=any(entry.tag == _MAKER_NOTE for entry in camera),
    )


def _read(tiff: bytes) -> _Directories:
    """Directories of EXIF data without the tags that describe the old file."""
    try:
        reader = TiffReader(tiff, DEFAULT_LIMITS)
        main = reader.directory(reader.first)[0]
        kept = {tag: it for tag, it in main.items() if tag in _DESCRIPTIVE_TAGS and tag != _ORIENTATION}
        camera = {tag: it for tag, it in reader.directory_below(main, _EXIF_IFD).items() if tag not in _STALE_TAGS}
        return _Directories(
            "<" if reader.order == "little" else ">",
            _entries(reader, kept),
            _entries(reader, camera),
            _entries(reader, reader.directory_below(main, _GPS_IFD)),
        )
    except (TooManySegments, UndecodableImage) as error:
        raise UndecodableImage("the EXIF data is damaged; drop it with metadata=none") from error


def _entries(reader: TiffReader, directory: Mapping[int, Entry]) -> list[_Entry]:
    entries, total = [], 0
    for tag, entry in directory.items():
        value = reader.content(entry) if entry.kind <= _LAST_TYPE else b""
        total += len(value)
        if total > _MAX_BYTES:
            raise UndecodableImage("the values of a directory are too large")
        if value:
            entries.append(_Entry(tag, entry.kind, entry.values, value))
    return entries


def _short(order: str, tag: int, value: int) -> _Entry:
    return _Entry(tag, _SHORT, 1, struct.pack(order + "H", value))


def _written(order: str, main: list[_Entry], camera: list[_Entry], location: list[_Entry]) -> bytes:
    """Write a TIFF file of these directories, without empty ones."""
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
    """Pack a directory for the offset `start`, followed by its long values."""
    table, values = [struct.pack(order + "H", len(entries))], b""
    values_start = start + 2 + 12 * len(entries) + 4
    for tag, kind, items, value in sorted(entries):
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(order + "I", values_start + len(values))
            values += value + bytes(len(value) % 2)
        table.append(struct.pack(order + "HHI", tag, kind, items) + field)
    return b"".join([*table, bytes(4), values])
