"""EXIF data that decoding needs: the orientation, and Adobe RGB as the colour space."""

from __future__ import annotations

from typing import NamedTuple

from virtual_codec.errors import TooManySegments, UndecodableImage
from virtual_codec.images._colour_space import ADOBE_RGB_PRIMARIES, ColourSpace, colour_space, power
from virtual_codec.images._limits import DEFAULT_LIMITS
from virtual_codec.images._tiff_directory import Entry, TiffReader, first_value

_ORIENTATION, _EXIF_DIRECTORY, _COLOUR_SPACE, _INTEROPERABILITY, _INDEX = 274, 34665, 40961, 40965, 1
_UNCALIBRATED, _ADOBE_RGB = 65_535, 2  # the second is not in the standard, but some cameras write it
_GAMMA = 563 / 256


class Exif(NamedTuple):
    """EXIF orientation, 1-8, and `is_adobe_rgb`, which DCF 2.0 (camera file systems) marks by "R03"."""

    orientation: int = 1
    is_adobe_rgb: bool = False

    @property
    def space(self) -> ColourSpace | None:
        """Colour space if it is Adobe RGB (1998)."""
        return colour_space(ADOBE_RGB_PRIMARIES, power(_GAMMA)) if self.is_adobe_rgb else None


def read_exif(exif: bytes) -> Exif:
    """Read EXIF data, without JPEG's prefix; damaged parts count as absent."""
    try:
        reader = TiffReader(exif, DEFAULT_LIMITS)
        entries = reader.directory(reader.first)[0]
        return exif_of(reader, entries)
    except (TooManySegments, UndecodableImage):
        return Exif()


def exif_of(reader: TiffReader, entries: dict[int, Entry]) -> Exif:
    """EXIF data in a directory of a TIFF. Raises `UndecodableImage` for an orientation that is outside the file."""
    orientation = first_value(reader, entries, _ORIENTATION)
    return Exif(orientation if 1 <= orientation <= 8 else 1, _is_adobe_rgb(reader, entries))


def exif_orientation(exif: bytes) -> int:
    """Orientation in EXIF data, 1-8; 1 if it is missing or damaged."""
    return read_exif(exif).orientation


def _is_adobe_rgb(reader: TiffReader, entries: dict[int, Entry]) -> bool:
    try:
        entries = reader.directory_below(entries, _EXIF_DIRECTORY)
        colours = first_value(reader, entries, _COLOUR_SPACE)
        if colours != _UNCALIBRATED or _INTEROPERABILITY not in entries:
            return colours == _ADOBE_RGB
        entries = reader.directory_below(entries, _INTEROPERABILITY)
        return _INDEX in entries and reader.raw(entries[_INDEX], 3) == b"R03"
    except (TooManySegments, UndecodableImage):
        return False
