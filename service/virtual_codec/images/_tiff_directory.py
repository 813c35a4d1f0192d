"""TIFF directories of tags, as in TIFF files and EXIF data."""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple, final

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._limits import ImageLimits, too_many

VALUE_BYTES: Final = {
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


class Entry(NamedTuple):
    """Entry of a TIFF directory."""

    kind: int
    values: int  # how many
    offset: int  # of the values
    raw: bytes  # the entry's bytes in the directory


@final
class TiffReader:
    """Directories of a TIFF or BigTIFF. Raises `UndecodableImage` for offsets outside the file."""

    def __init__(self, file: bytes, limits: ImageLimits) -> None:
        self._file = file
        self._max_tags = limits.max_segments
        if file[:2] not in (b"II", b"MM"):
            raise UndecodableImage("not a TIFF")
        self.order: Literal["little", "big"] = "little" if file[:2] == b"II" else "big"
        self._is_big = self.integer(2, 2) == 43
        self._word = 8 if self._is_big else 4  # of offsets and counts
        self.first = self.integer(8, 8) if self._is_big else self.integer(4, 4)

    def integer(self, offset: int, size: int) -> int:
        """Unsigned integer of `size` bytes."""
        if offset + size > len(self._file):
            raise UndecodableImage("the TIFF is truncated")
        return int.from_bytes(self._file[offset : offset + size], self.order)

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
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
        entries: dict[int, Entry] = {}
        for start in range(offset + count_bytes, end, entry_bytes):
            kind, values = self.integer(start + 2, 2), self.integer(start + 4, self._word)
            inside = start + 4 + self._word
            is_short = VALUE_BYTES.get(kind, 1) * values <= self._word
            entries[self.integer(start, 2)] = Entry(
                kind,
                values,
                inside if is_short else self.integer(inside, self._word),
                self._file[start : start + entry_bytes],
            )
        return entries, following

    def directory_below(self, entries: dict[int, Entry], pointer: int) -> dict[int, Entry]:
        """Entries of the directory that the tag `pointer` points to; none if it is missing or empty."""
        if pointer not in entries:
            return {}
        offset = first_value(self, entries, pointer)
        # Some programs write an empty location directory.
        is_empty = self.integer(offset, 8 if self._is_big else 2) == 0
        return {} if is_empty else self.directory(offset)[0]

    def content(self, entry: Entry) -> bytes:
        """Bytes of an entry's values; empty if its type is unknown."""
        end = entry.offset + VALUE_BYTES.get(entry.kind, 0) * entry.values
        if end > len(self._file):
            raise UndecodableImage("the TIFF is truncated")
        return self._file[entry.offset : end]

    def values(self, entry: Entry) -> tuple[int, ...]:
        """Integers of an entry; none if it has another type."""
        if entry.kind not in _INTEGERS:
            return ()
        if entry.offset + VALUE_BYTES[entry.kind] * entry.values > len(self._file):
            raise UndecodableImage("the TIFF is truncated")
        form = f"{'<' if self.order == 'little' else '>'}{entry.values}{_INTEGERS[entry.kind]}"
        return struct.unpack_from(form, self._file, entry.offset)

    def raw(self, entry: Entry, size: int) -> bytes:
        """First `size` bytes of an entry's values."""
        return self._file[entry.offset : entry.offset + size]

    def with_directory(self, offset: int, entries: list[Entry]) -> bytes:
        """File with only this directory, in place of the one at `offset`, which must not be shorter."""
        count = len(entries).to_bytes(8 if self._is_big else 2, self.order)
        directory = count + b"".join(entry.raw for entry in entries) + bytes(self._word)
        return self._file[:offset] + directory + self._file[offset + len(directory) :]


def first_value(reader: TiffReader, entries: dict[int, Entry], tag: int) -> int:
    """First value of a tag; 0 if there is none."""
    entry = entries.get(tag)
    return next(iter(reader.values(entry._replace(values=min(entry.values, 1)))), 0) if entry else 0
