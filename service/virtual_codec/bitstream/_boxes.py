"""Boxes of ISO base media files (AVIF) and JP2 files: iteration over them, and the data of an AVIF's picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_BOXES: Final = 4096
JP2_EXIF: Final = b"JpgTiffExif->JP2"  # UUIDs of metadata in JP2 files
JP2_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

_MAX_EXTENTS: Final = 64


class Box(NamedTuple):
    """Box of a kind (four bytes); its content begins at `start`, and the box ends at `end`."""

    kind: bytes
    start: int
    end: int


def boxes(file: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Boxes between two offsets. The iteration ends at a box of an impossible size, and after `MAX_BOXES`."""
    end = len(file) if end is None else end
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, head = int.from_bytes(file[start : start + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(file[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield Box(file[start + 4 : start + 8], start + head, start + size)
        start += size


def uuid_box(uuid: bytes, body: bytes) -> bytes:
    """Box of kind `uuid`."""
    return (24 + len(body)).to_bytes(4, "big") + b"uuid" + uuid + body


def uuid_bodies(file: bytes, uuid: bytes) -> list[bytes]:
    """Contents of the top-level boxes of kind `uuid` with a given UUID."""
    return [
        file[box.start + 16 : box.end]
        for box in boxes(file)
        if box.kind == b"uuid" and file.startswith(uuid, box.start, box.end)
    ]


def avif_picture(file: bytes) -> bytes | None:
    """AV1 data of an AVIF's primary picture (of a grid, its first tile); None if none is found."""
    meta = next((box for box in boxes(file) if box.kind == b"meta"), None)
    if meta is None:
        return None
    parts = {box.kind: box for box in boxes(file, meta.start + 4, meta.end)}
    if b"pitm" not in parts or b"iloc" not in parts:
        return None
    wide = file[parts[b"pitm"].start] > 0
    item = _number(file, parts[b"pitm"].start + 4, 4 if wide else 2)
    if b"iref" in parts:
        item = _first_tile(file, parts[b"iref"], item)
    return _item_data(file, parts[b"iloc"], parts.get(b"idat"), item)


def _first_tile(file: bytes, references: Box, item: int) -> int:
    """First item to which a derived image refers, or the item itself."""
    width = 4 if file[references.start] > 0 else 2
    for box in boxes(file, references.start + 4, references.end):
        if box.kind == b"dimg" and _number(file, box.start, width) == item:
            return _number(file, box.start + width + 2, width)
    return item


def _item_data(file: bytes, locations: Box, data: Box | None, wanted: int) -> bytes | None:
    """Data of an item by an iloc box (ISO/IEC 14496-12, 8.11.3), or None."""
    version, sizes = file[locations.start], _number(file, locations.start + 4, 2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index_bytes = index_bytes if version in (1, 2) else 0
    id_bytes = 4 if version == 2 else 2
    position = locations.start + 6
    count, position = _number(file, position, id_bytes), position + id_bytes
    for _ in range(min(count, MAX_BOXES)):
        if position >= locations.end:
            return None
        item, position = _number(file, position, id_bytes), position + id_bytes
        is_inside = False
        if version in (1, 2):
            is_inside, position = _number(file, position, 2) & 15 == 1, position + 2
        position += 2  # data reference: this file
        base, position = _number(file, position, base_bytes), position + base_bytes
        extents, position = _number(file, position, 2), position + 2
        found = []
        for _ in range(min(extents, _MAX_EXTENTS)):
            position += index_bytes
            offset, position = base + _number(file, position, offset_bytes), position + offset_bytes
            length, position = _number(file, position, length_bytes), position + length_bytes
            origin = data.start if is_inside and data is not None else 0
            found.append((origin + offset, length))
        if item == wanted:
            is_possible = sum(length for _, length in found) <= len(file)  # extents may overlap: 64 of a whole file
            return b"".join(file[start : start + length] for start, length in found) if is_possible else None
    return None


def _number(file: bytes, start: int, size: int) -> int:
    return int.from_bytes(file[start : start + size], "big")
