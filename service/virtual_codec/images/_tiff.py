"""TIFF files, stripped to the tags that make pixels, and the orientation in EXIF, which is TIFF too."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple, final

from virtual_codec import bitstream
from virtual_codec.errors import AnimatedImage, TooManySegments, UndecodableImage
from virtual_codec.images._limits import DEFAULT_LIMITS, ImageLimits, too_many
from virtual_codec.images._stripped import StrippedFile

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _COMPRESSION, _ORIENTATION = 254, 256, 257, 259, 274
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, byte counts
_TILE_SIDES = (322, 323)
_PROFILE = 34675

_RAW, _JPEG = 1, 7
# Fax, LZW, JPEG, Deflate (twice), PackBits, Zstandard. Not LZMA and old JPEG: more danger than use.
_COMPRESSIONS = frozenset({_RAW, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50000})

# Tags that make pixels, with the greatest number of values of each.
_MOST_STRIPS = 1 << 17
_TAGS = {
    _WIDTH: 1,
    _HEIGHT: 1,
    258: 8,  # bits a sample
    _COMPRESSION: 1,
    262: 1,  # photometric interpretation
    266: 1,  # fill order
    273: _MOST_STRIPS,
    277: 1,  # samples a pixel
    278: 1,  # rows a strip
    279: _MOST_STRIPS,
    284: 1,  # planar configuration
    292: 1,  # fax options
    293: 1,
    317: 1,  # predictor
    320: 3 << 16,  # colour map
    322: 1,
    323: 1,
    324: _MOST_STRIPS,
    325: _MOST_STRIPS,
    332: 1,  # ink set
    338: 8,  # extra samples
    339: 8,  # sample format
    347: 1 << 16,  # JPEG tables
    529: 3,  # YCbCr coefficients, subsampling, positioning, black and white
    530: 2,
    531: 1,
    532: 6,
}
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MAX_DIRECTORIES = 16


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a TIFF to its first directory and the tags in it that make pixels."""
    reader = _Reader(file, limits)
    start = reader.first
    entries, following = reader.directory(start)
    for _ in range(_MAX_DIRECTORIES):
        if not following:
            break
        try:
            further, following = reader.directory(following)
        except (TooManySegments, UndecodableImage):  # an offset into nowhere is no page
            break
        if not _first(reader, further, _SUBFILE_TYPE) & 1:  # a reduced copy of the first is no page either
            raise AnimatedImage("the TIFF has several pages; send one of them", limit=1, actual=2)
    size = _first(reader, entries, _WIDTH), _first(reader, entries, _HEIGHT)
    limits.check(*size)
    if _TILE_SIDES[0] in entries:
        limits.check(*(_first(reader, entries, tag) for tag in _TILE_SIDES))
    _check_data(file, reader, entries, limits)
    orientation = _first(reader, entries, _ORIENTATION)
    return StrippedFile(
        file=reader.with_directory(start, [entries[tag] for tag in sorted(entries) if tag in _TAGS or tag == _PROFILE]),
        size=size,
        orientation=orientation if 1 <= orientation <= 8 else 1,
    )


def exif_orientation(exif: bytes) -> int:
    """Orientation in EXIF data, 1-8; 1 where there is none or it is damaged."""
    try:
        reader = _Reader(exif, DEFAULT_LIMITS)
        orientation = _first(reader, reader.directory(reader.first)[0], _ORIENTATION)
    except (TooManySegments, UndecodableImage):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


class _Entry(NamedTuple):
    kind: int
    values: int  # how many
    offset: int  # of the values
    raw: bytes  # the entry as it stands in the directory


@final
class _Reader:
    """Directories of a TIFF or BigTIFF. Raises `UndecodableImage` for offsets outside the file."""

    def __init__(self, file: bytes, limits: ImageLimits) -> None:
        self._file = file
        self._max_tags = limits.max_segments
        if file[:2] not in (b"II", b"MM"):
            raise UndecodableImage("not a TIFF")
        self._order: Literal["little", "big"] = "little" if file[:2] == b"II" else "big"
        self._is_big = self.integer(2, 2) == 43
        self._word = 8 if self._is_big else 4  # of offsets and counts
        self.first = self.integer(8, 8) if self._is_big else self.integer(4, 4)

    def integer(self, offset: int, size: int) -> int:
        if offset + size > len(self._file):
            raise UndecodableImage("the TIFF is truncated")
        return int.from_bytes(self._file[offset : offset + size], self._order)

    def directory(self, offset: int) -> tuple[dict[int, _Entry], int]:
        """Entries of a directory by tag, and the offset of the next directory (0: none)."""
        count_bytes = 8 if self._is_big else 2
        entry_bytes = 4 + 2 * self._word
        count = self.integer(offset, count_bytes)
        if count < 1:
            raise UndecodableImage("the TIFF is damaged: a directory has no tags")
        if count > self._max_tags:
            raise too_many("tags", self._max_tags, count)
        end = offset + count_bytes + count * entry_bytes
        following = self.integer(end, self._word)
        entries: dict[int, _Entry] = {}
        for start in range(offset + count_bytes, end, entry_bytes):
            kind, values = self.integer(start + 2, 2), self.integer(start + 4, self._word)
            inside = start + 4 + self._word
            is_short = _SIZES.get(kind, 1) * values <= self._word
            entries[self.integer(start, 2)] = _Entry(
                kind,
                values,
                inside if is_short else self.integer(inside, self._word),
                self._file[start : start + entry_bytes],
            )
        return entries, following

    def values(self, entry: _Entry) -> tuple[int, ...]:
        """Integers of an entry; none where it holds another type."""
        if entry.kind not in _INTEGERS:
            return ()
        if entry.offset + _SIZES[entry.kind] * entry.values > len(self._file):
            raise UndecodableImage("the TIFF is truncated")
        form = f"{'<' if self._order == 'little' else '>'}{entry.values}{_INTEGERS[entry.kind]}"
        return struct.unpack_from(form, self._file, entry.offset)

    def with_directory(self, offset: int, entries: list[_Entry]) -> bytes:
        """File with this directory instead of the one at `offset`, which is not shorter, and no other."""
        count = len(entries).to_bytes(8 if self._is_big else 2, self._order)
        directory = count + b"".join(entry.raw for entry in entries) + bytes(self._word)
        return self._file[:offset] + directory + self._file[offset + len(directory) :]


def _first(reader: _Reader, entries: dict[int, _Entry], tag: int) -> int:
    """First value of a tag; 0 where there is none."""
    entry = entries.get(tag)
    return next(iter(reader.values(entry._replace(values=min(entry.values, 1)))), 0) if entry else 0


def _check_data(file: bytes, reader: _Reader, entries: dict[int, _Entry], limits: ImageLimits) -> None:
    """Raise an error unless reading the pixels reads every byte about once, and no JPEG strip has too many scans."""
    for tag, most in _TAGS.items():
        if tag in entries and entries[tag].values > most:
            raise UndecodableImage(f"the TIFF is damaged: tag {tag} has {entries[tag].values} values")
    if _PROFILE in entries:
        limits.check_profile(entries[_PROFILE].values * _SIZES.get(entries[_PROFILE].kind, 1))
    compression = _first(reader, entries, _COMPRESSION) or _RAW
    if compression not in _COMPRESSIONS:
        raise UndecodableImage(f"the TIFF is compressed by method {compression}, which is not read here")
    if compression == _RAW:
        return
    for offset_tag, count_tag in (_STRIPS, _TILES):
        if offset_tag not in entries:
            continue
        if count_tag not in entries:
            raise UndecodableImage("the TIFF is damaged: it does not state how long its data is")
        offsets, counts = reader.values(entries[offset_tag]), reader.values(entries[count_tag])
        if sum(counts) > len(file):
            raise UndecodableImage("the TIFF is damaged or truncated: its data is longer than the file")
        if compression == _JPEG:
            for offset, count in zip(offsets, counts, strict=False):
                bitstream.check_scan_count(file[offset : offset + count], limits.max_scans, limits.max_segments)
