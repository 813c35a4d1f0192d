"""Image files to pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.images import _gif, _headers, _jpeg, _png, _tiff
from virtual_codec.images._colour import WHITE, to_srgb
from virtual_codec.images._limits import DEFAULT_LIMITS, ImageLimits
from virtual_codec.images._orientation import swaps_sides, upright
from virtual_codec.images._pillow import foreign_errors, load, opened
from virtual_codec.images._sniff import sniff
from virtual_codec.images._stripped import StrippedFile


def decode(
    image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, background: tuple[int, int, int] = WHITE
) -> NDArray[np.uint8]:
    """Decode an image file: [H, W, 3] sRGB, or [H, W] where the file is grey. Upright, without alpha.

    EXIF's orientation is applied, colours are converted to sRGB by the file's ICC profile (a broken one is
    ignored), CMYK and 16 bits are converted, transparent pixels flattened onto `background`, an RGB colour.
    A grey picture with transparent pixels stays grey on a grey background only.

    Raises `EmptyInput`, `UnsupportedFormat`, and before anything is decoded `TooManyPixels`, `SideTooLong`,
    `TooManyScans`, `TooManySegments`, `ProfileTooLarge` and `AnimatedImage`; else `UndecodableImage`, for anything
    wrong inside, a truncated file included. `MemoryError` is passed on: it does not mean that the file is bad.
    """
    reader = _READERS[sniff(image)]
    with foreign_errors(reader.title, limits):
        stripped = reader.strip(image, limits)
        with opened(stripped.file, reader.title, reader.pillow_formats, limits) as loaded:
            profile: bytes | None = stripped.profile or loaded.info.get("icc_profile")
            limits.check_profile(len(profile or b""))
            orientation = _orientation(stripped, loaded)
            load(loaded)
            reader.check_whole(stripped, loaded)
            pixels = to_srgb(loaded, profile, background)
    return upright(pixels, orientation)


def probe(image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Size (width, height) of the picture that `decode` returns, from the header alone. Raises as `decode` does.

    No decoder is asked, except for AVIF.
    """
    reader = _READERS[sniff(image)]
    with foreign_errors(reader.title, limits):
        stripped = reader.strip(image, limits)
        if stripped.size is not None:
            size, orientation = stripped.size, stripped.orientation
        else:
            with opened(stripped.file, reader.title, reader.pillow_formats, limits) as header:
                size, orientation = header.size, _orientation(stripped, header)
    return size[::-1] if swaps_sides(orientation) else size


def _trust(_stripped: StrippedFile, _loaded: Image.Image) -> None:
    """Check nothing: the decoder itself refuses a truncated file."""


class _Reader(NamedTuple):
    title: str
    pillow_formats: tuple[str, ...]
    strip: Callable[[bytes, ImageLimits], StrippedFile]
    check_whole: Callable[[StrippedFile, Image.Image], None] = _trust


_READERS = {
    "png": _Reader("PNG", ("PNG",), _png.strip, _png.check_whole),
    "jpeg": _Reader("JPEG", ("JPEG", "MPO"), _jpeg.strip, _jpeg.check_whole),
    "webp": _Reader("WebP", ("WEBP",), _headers.strip_webp),
    "tiff": _Reader("TIFF", ("TIFF",), _tiff.strip),
    "bmp": _Reader("BMP", ("BMP",), _headers.strip_bmp),
    "gif": _Reader("GIF", ("GIF",), _gif.strip),
    "avif": _Reader("AVIF", ("AVIF",), _headers.strip_avif),
}


def _orientation(stripped: StrippedFile, loaded: Image.Image) -> int:
    """Orientation of a stripped file; for AVIF, that in the EXIF that Pillow makes of its boxes."""
    if loaded.format != "AVIF":
        return stripped.orientation
    exif: bytes = loaded.info.get("exif", b"")
    return _tiff.exif_orientation(exif.removeprefix(b"Exif\0\0"))
