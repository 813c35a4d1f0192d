"""TIFF files: stripping to the tags needed for pixels."""

from __future__ import annotations

from virtual_codec import bitstream
from virtual_codec.errors import AnimatedImage, TooManySegments, UndecodableImage
from virtual_codec.images._exif import exif_of
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._stripped import StrippedFile
from virtual_codec.images._tiff_colour import space_of_tags
from virtual_codec.images._tiff_directory import VALUE_BYTES, Entry, TiffReader, first_value
from virtual_codec.images._tiff_kinds import kind_of, read_by_pillow
from virtual_codec.images._tiff_wide import read_wide

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _COMPRESSION = 254, 256, 257, 259
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, byte counts
_TILE_SIDES = (322, 323)
_PROFILE_TAG = 34675

_RAW, _JPEG = 1, 7
# Fax, LZW, JPEG, Deflate (two numbers), PackBits, Zstandard. Not LZMA and old JPEG, which are risky and rare.
_COMPRESSIONS = frozenset({_RAW, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50000})

# Tags needed for pixels, each with its largest number of values.
_MAX_STRIPS = 1 << 17
_TAGS = {
    _WIDTH: 1,
    _HEIGHT: 1,
    258: 8,  # bits a sample
    _COMPRESSION: 1,
    262: 1,  # photometric interpretation
    266: 1,  # fill order
    273: _MAX_STRIPS,
    277: 1,  # samples a pixel
    278: 1,  # rows a strip
    279: _MAX_STRIPS,
    284: 1,  # planar configuration
    292: 1,  # fax options
    293: 1,
    317: 1,  # predictor
    320: 3 << 16,  # colour map
    322: 1,
    323: 1,
    324: _MAX_STRIPS,
    325: _MAX_STRIPS,
    332: 1,  # ink set
    338: 8,  # extra samples
    339: 8,  # sample format
    347: 1 << 16,  # JPEG tables
    529: 3,  # YCbCr coefficients, subsampling, positioning, black and white
    530: 2,
    531: 1,
    532: 6,
}
_MAX_DIRECTORIES = 16


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Strip a TIFF to its first directory, with only the tags needed for pixels."""
    reader = TiffReader(file, limits)
    start = reader.first
    entries, following = reader.directory(start)
    for _ in range(_MAX_DIRECTORIES):
        if not following:
            break
        try:
            further, following = reader.directory(following)
        except (TooManySegments, UndecodableImage):  # an invalid offset does not count as a page
            break
        if not first_value(reader, further, _SUBFILE_TYPE) & 1:  # nor does a reduced copy of the first page
            raise AnimatedImage("the TIFF has several pages; send one of them", limit=1, actual=2)
    size = first_value(reader, entries, _WIDTH), first_value(reader, entries, _HEIGHT)
    limits.check(*size)
    if _TILE_SIDES[0] in entries:
        limits.check(*(first_value(reader, entries, tag) for tag in _TILE_SIDES))
    _check_data(file, reader, entries, limits)
    exif = exif_of(reader, entries)
    kind = kind_of(reader, entries)
    return StrippedFile(
        wide=None if read_by_pillow(kind) else read_wide(file, reader, entries, kind),
        profile=_profile(reader, entries),
        file=reader.with_directory(
            start, [entries[tag] for tag in sorted(entries) if tag in _TAGS or tag == _PROFILE_TAG]
        ),
        size=size,
        orientation=exif.orientation,
        space=space_of_tags(reader, entries, kind, exif),
    )


def _profile(reader: TiffReader, entries: dict[int, Entry]) -> bytes | None:
    entry = entries.get(_PROFILE_TAG)
    return None if entry is None else reader.raw(entry, entry.values * VALUE_BYTES.get(entry.kind, 1))


def _check_data(file: bytes, reader: TiffReader, entries: dict[int, Entry], limits: ImageLimits) -> None:
    """Raise an error unless reading the pixels reads every byte about once, and no JPEG strip has too many scans."""
    for tag, most in _TAGS.items():
        if tag in entries and entries[tag].values > most:
            raise UndecodableImage(f"the TIFF is damaged: tag {tag} has {entries[tag].values} values")
    if _PROFILE_TAG in entries:
        limits.check_profile(entries[_PROFILE_TAG].values * VALUE_BYTES.get(entries[_PROFILE_TAG].kind, 1))
    compression = first_value(reader, entries, _COMPRESSION) or _RAW
    if compression not in _COMPRESSIONS:
        raise UndecodableImage(f"the TIFF uses compression method {compression}, which is not supported")
    if compression == _RAW:
        return
    for offset_tag, count_tag in (_STRIPS, _TILES):
        if offset_tag not in entries:
            continue
        if count_tag not in entries:
            raise UndecodableImage("the TIFF is damaged: the length of its data is missing")
        offsets, counts = reader.values(entries[offset_tag]), reader.values(entries[count_tag])
        if sum(counts) > len(file):
            raise UndecodableImage("the TIFF is damaged or truncated: its data is longer than the file")
        if compression == _JPEG:
            for offset, count in zip(offsets, counts, strict=False):
                bitstream.check_scan_count(file[offset : offset + count], limits.max_scans, limits.max_segments)
