"""Image files to pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.images import _avif, _bmp, _gif, _jpeg, _jpeg2000, _png, _tiff, _webp
from virtual_codec.images._colour import WHITE, Picture, to_srgb
from virtual_codec.images._exif import exif_orientation
from virtual_codec.images._limits import DEFAULT_LIMITS, ImageLimits
from virtual_codec.images._orientation import swaps_sides, upright
from virtual_codec.images._pillow import foreign_errors, load, open_image
from virtual_codec.images._sniff import sniff
from virtual_codec.images._stripped import StrippedFile
from virtual_codec.images._wide import wide_to_srgb


def decode(
    image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, background: tuple[int, int, int] = WHITE
) -> NDArray[np.uint8]:
    """Decode an image file: [H, W, 3] sRGB, or [H, W] if the file is grey. Upright, without alpha.

    EXIF's orientation is applied. Colours are converted to sRGB by the file's ICC profile (a broken one is ignored), or
    by PNG's cICP, cHRM and gAMA, AVIF's nclx, a TIFF's tags, EXIF's Adobe RGB, or a BMP's endpoints, before 16 bits
    become 8. CMYK is converted; transparent pixels are flattened onto `background`, an RGB colour. High dynamic range,
    and kinds of files that are not known to be decoded correctly, are refused by name. A grey picture with transparent
    pixels stays grey only on a grey background.

    Raises `EmptyInput`, `UnsupportedFormat`, and before anything is decoded `TooManyPixels`, `SideTooLong`,
    `TooManyScans`, `TooManySegments`, `ProfileTooLarge` and `AnimatedImage`; `UndecodableImage` for any other damage,
    including truncation. `MemoryError` is passed on, because it does not mean that the file is bad.
    """
    return decode_picture(image, limits=limits, background=background).pixels


def decode_picture(
    image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, background: tuple[int, int, int] = WHITE
) -> Picture:
    """Decode an image file as `decode` does, and state whether transparent pixels were flattened."""
    reader = _READERS[sniff(image)]
    with foreign_errors(reader.title, limits):
        stripped = reader.strip(image, limits)
        if stripped.wide is not None:
            picture = wide_to_srgb(stripped.wide(), stripped.profile, stripped.space, background)
            return picture._replace(pixels=upright(picture.pixels, stripped.orientation))
        with open_image(stripped.file, reader.title, reader.pillow_formats, limits) as loaded:
            profile: bytes | None = stripped.profile or loaded.info.get("icc_profile")
            limits.check_profile(len(profile or b""))
            orientation = _orientation(stripped, loaded)
            load(loaded, reader.title, is_complete=stripped.is_complete)
            reader.check_whole(stripped, loaded)
            picture = to_srgb(loaded, profile, background, stripped.space)
    return picture._replace(pixels=upright(picture.pixels, orientation))


def probe(image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """Size (width, height) of the picture that `decode` returns, from the header alone. Raises the errors of `decode`.

    No decoder is called, except for AVIF.
    """
    reader = _READERS[sniff(image)]
    with foreign_errors(reader.title, limits):
        stripped = reader.strip(image, limits)
        if stripped.size is not None:
            size, orientation = stripped.size, stripped.orientation
        else:
            with open_image(stripped.file, reader.title, reader.pillow_formats, limits) as header:
                size, orientation = header.size, _orientation(stripped, header)
    return size[::-1] if swaps_sides(orientation) else size


def _accept(_stripped: StrippedFile, _loaded: Image.Image) -> None:
    """Check nothing: the decoder itself refuses a truncated file."""


class _Reader(NamedTuple):
    title: str
    pillow_formats: tuple[str, ...]
    strip: Callable[[bytes, ImageLimits], StrippedFile]
    check_whole: Callable[[StrippedFile, Image.Image], None] = _accept


_READERS = {
    "png": _Reader("PNG", ("PNG",), _png.strip, _png.check_whole),
    "jpeg": _Reader("JPEG", ("JPEG", "MPO"), _jpeg.strip, _jpeg.check_whole),
    "webp": _Reader("WebP", ("WEBP",), _webp.strip),
    "tiff": _Reader("TIFF", ("TIFF",), _tiff.strip),
    "bmp": _Reader("BMP", ("BMP",), _bmp.strip),
    "gif": _Reader("GIF", ("GIF",), _gif.strip),
    "avif": _Reader("AVIF", ("AVIF",), _avif.strip),
    "jpeg2000": _Reader("JPEG 2000", ("JPEG2000",), _jpeg2000.strip),
}


def _orientation(stripped: StrippedFile, loaded: Image.Image) -> int:
    """Orientation of a stripped file; for AVIF, from the EXIF data that Pillow makes from its boxes."""
    if loaded.format != "AVIF":
        return stripped.orientation
    exif: bytes = loaded.info.get("exif", b"")
    return exif_orientation(exif.removeprefix(b"Exif\0\0"))
