"""Colour space of a TIFF without an ICC profile, by its tags."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._colour_space import (
    SRGB_PRIMARIES,
    ColourSpace,
    Floats,
    Transfer,
    colour_space,
    srgb_decoded,
)
from virtual_codec.images._exif import Exif
from virtual_codec.images._tiff_directory import Entry, TiffReader
from virtual_codec.images._tiff_kinds import GREY, RGB, YCBCR, TiffKind

_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARIES = 301, 318, 319
_SHORT, _RATIONAL = 3, 5
_MOST: Final = 65_535  # a transfer function's value of full intensity


def space_of_tags(reader: TiffReader, entries: dict[int, Entry], kind: TiffKind, exif: Exif) -> ColourSpace | None:
    """Colour space by TransferFunction, WhitePoint and PrimaryChromaticities, or by EXIF's Adobe RGB; None for sRGB.

    Primaries count only with a white point, as in Little CMS's tificc. What no tag states is that of sRGB. Damaged tags
    are ignored, as damaged profiles are.
    """
    curves = _curves(reader, entries, kind)
    if curves is None and exif.space is not None:  # cameras write Adobe RGB's primaries without its transfer function
        return exif.space
    white, colours = _points(reader, entries, _WHITE_POINT, 1), _points(reader, entries, _PRIMARIES, 3)
    primaries = (*colours, *white) if colours and white else SRGB_PRIMARIES
    if curves is None and primaries is SRGB_PRIMARIES:
        return None
    try:
        space = colour_space(primaries, srgb_decoded)
    except ValueError:
        return None
    return space if curves is None else replace(space, to_linear=curves)


def _curves(
    reader: TiffReader, entries: dict[int, Entry], kind: TiffKind
) -> tuple[Transfer, Transfer, Transfer] | None:
    """Transfer function of each channel, from one table of intensities for all samples, or three."""
    if kind.photometric not in (GREY, RGB, YCBCR):
        return None
    levels = 1 << kind.bits[0]
    content = _content(reader, entries, _TRANSFER_FUNCTION, _SHORT, (levels, 3 * levels))
    if not content:
        return None
    tables = np.frombuffer(content, "<u2" if reader.order == "little" else ">u2").reshape(-1, levels) / _MOST
    if (tables[:, -1] <= tables[:, 0]).any():
        return None
    red, green, blue = (tables[index % len(tables)] for index in range(3))
    return _interpolated(red), _interpolated(green), _interpolated(blue)


def _interpolated(table: Floats) -> Transfer:
    codes_of_table = np.arange(len(table)) / (len(table) - 1)
    return lambda codes: np.interp(codes, codes_of_table, table)


def _points(reader: TiffReader, entries: dict[int, Entry], tag: int, count: int) -> list[tuple[float, float]]:
    """Chromaticities (x, y) of a tag; none if it is missing or damaged."""
    content = _content(reader, entries, tag, _RATIONAL, (2 * count,))
    numbers = np.frombuffer(content, "<u4" if reader.order == "little" else ">u4").reshape(-1, 2)
    if not numbers[:, 1].all():
        return []
    values = (numbers[:, 0] / numbers[:, 1]).tolist()
    if max(values, default=0) > 1:  # x, y and z of a chromaticity add up to 1
        return []
    return [*zip(values[::2], values[1::2], strict=True)]


def _content(reader: TiffReader, entries: dict[int, Entry], tag: int, kind: int, counts: tuple[int, ...]) -> bytes:
    """Bytes of a tag's values; none if the tag is missing, or has another type or number of values."""
    entry = entries.get(tag)
    if entry is None or entry.kind != kind or entry.values not in counts:
        return b""
    try:
        return reader.content(entry)
    except UndecodableImage:
        return b""
