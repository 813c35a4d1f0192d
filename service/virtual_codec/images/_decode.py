"""Bytes to pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.errors import AnimatedImage, TooManyPixels, UndecodableImage, VirtualCodecError
from virtual_codec.images import _gif, _headers, _jpeg, _png, _tiff
from virtual_codec.images._colour import to_srgb
from virtual_codec.images._essence import Essence
from virtual_codec.images._limits import PILLOW_MAX_PIXELS, ImageLimits
from virtual_codec.images._sniff import sniff

DEFAULT_LIMITS = ImageLimits()
WHITE = (255, 255, 255)

_DECODER_BYTES_A_PIXEL = 12  # at most, roughly: 4 of the picture, 6 of a progressive JPEG's levels

Sample = TypeVar("Sample", bound=np.generic)


def decode(
    image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, background: tuple[int, int, int] = WHITE
) -> NDArray[np.uint8]:
    """The picture in `image`: [H, W, 3] sRGB, or [H, W] where the file is grey. Upright, without alpha.

    EXIF's orientation is applied, colours are converted to sRGB by the file's ICC profile (a broken one is
    ignored), CMYK and 16 bits are converted, transparent pixels flattened onto `background`, an RGB colour.
    A grey picture with transparent pixels stays grey on a grey background only.

    Raises `EmptyInput`, `UnsupportedFormat`, and before anything is decoded `TooManyPixels`, `SideTooLong`,
    `TooManyScans`, `TooManySegments`, `ProfileTooLarge` and `AnimatedImage`; else `UndecodableImage`, for whatever is
    wrong inside. What is cut short is an error too, never a picture that ends in grey. `MemoryError` is no verdict.
    """
    reader = _READERS[sniff(image)]
    with _foreign_errors(reader.title, limits):
        essence = reader.essence(image, limits)
        with _open(essence, reader, limits) as opened:
            profile: bytes | None = essence.profile or opened.info.get("icc_profile")
            limits.check_profile(len(profile or b""))
            orientation = _orientation(essence, opened)
            _load(opened)
            reader.check_whole(essence, opened)
            pixels = to_srgb(opened, profile, background)
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels))


def probe(image: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """(width, height) of what `decode` would return, from the header alone. Raises what `decode` finds there.

    No decoder is asked, except for AVIF.
    """
    reader = _READERS[sniff(image)]
    with _foreign_errors(reader.title, limits):
        essence = reader.essence(image, limits)
        if essence.size is not None:
            size, orientation = essence.size, essence.orientation
        else:
            with _open(essence, reader, limits) as opened:
                size, orientation = opened.size, _orientation(essence, opened)
    return size[::-1] if orientation >= 5 else size


def decode_as_coded(jpeg: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """A JPEG's samples as its coder had them: no orientation, no profile. [H, W, 3], or [H, W] for one component.

    Raises as `decode` does.
    """
    reader = _READERS["jpeg"]
    with _foreign_errors(reader.title, limits):
        essence = reader.essence(jpeg, limits)
        with _open(essence, reader, limits) as opened:
            _load(opened)
            pixels = np.array(opened if opened.mode in ("RGB", "L") else opened.convert("RGB"))
            reader.check_whole(essence, opened)
            return pixels


def decode_luma(jpeg: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """The luma plane [H, W] of a YCbCr or grey JPEG as its coder had it: neither turned nor mixed with chroma.

    Raises as `decode` does, but does not look whether it is whole: that is for `decode`.
    """
    reader = _READERS["jpeg"]
    with _foreign_errors(reader.title, limits):
        essence = reader.essence(jpeg, limits)
        with _open(essence, reader, limits) as opened:
            opened.draft("L", opened.size)
            _load(opened)
            return np.array(opened if opened.mode == "L" else opened.convert("L"))


def upright(plane: NDArray[Sample], jpeg: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[Sample]:
    """`plane`, which lies as a JPEG's samples do, turned as `decode` turns that JPEG."""
    return np.ascontiguousarray(_UPRIGHT[_jpeg.essence(jpeg, limits).orientation](plane))


def _load(opened: Image.Image) -> None:
    """Decode it. Raises `MemoryError` where there may have been too little for it: decoders call that damage too."""
    try:
        opened.load()
    except Exception:
        np.empty((*opened.size, _DECODER_BYTES_A_PIXEL), np.uint8)  # for a moment, and no page of it is touched
        raise


def _trust(_essence: Essence, _loaded: Image.Image) -> None:
    """The decoder itself refuses what is cut short."""


class _Reader(NamedTuple):
    title: str
    pillow_formats: tuple[str, ...]
    essence: Callable[[bytes, ImageLimits], Essence]
    check_whole: Callable[[Essence, Image.Image], None] = _trust


_READERS = {
    "png": _Reader("PNG", ("PNG",), _png.essence, _png.check_whole),
    "jpeg": _Reader("JPEG", ("JPEG", "MPO"), _jpeg.essence, _jpeg.check_whole),
    "webp": _Reader("WebP", ("WEBP",), _headers.webp),
    "tiff": _Reader("TIFF", ("TIFF",), _tiff.essence),
    "bmp": _Reader("BMP", ("BMP",), _headers.bmp),
    "gif": _Reader("GIF", ("GIF",), _gif.essence),
    "avif": _Reader("AVIF", ("AVIF",), _headers.avif),
}

_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: np.rot90,
}


@contextmanager
def _open(essence: Essence, reader: _Reader, limits: ImageLimits) -> Iterator[Image.Image]:
    with Image.open(io.BytesIO(essence.file), formats=reader.pillow_formats) as opened:
        limits.check(*opened.size)
        if (frames := getattr(opened, "n_frames", 1)) > 1:
            raise AnimatedImage(f"the {reader.title} is animated; send one frame of it", limit=1, actual=frames)
        yield opened


def _orientation(essence: Essence, opened: Image.Image) -> int:
    """The orientation of the essence; an AVIF's is what Pillow makes EXIF of."""
    if opened.format != "AVIF":
        return essence.orientation
    exif: bytes = opened.info.get("exif", b"")
    return _tiff.exif_orientation(exif.removeprefix(b"Exif\0\0"))


@contextmanager
def _foreign_errors(title: str, limits: ImageLimits) -> Iterator[None]:
    """Whatever Pillow raises on bad bytes, and that is nearly everything, says that they are bad."""
    _guard_pillow()
    try:
        yield
    except (VirtualCodecError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"the {title} has too many pixels", limit=limits.max_pixels) from error
    except Exception as error:  # OSError, SyntaxError, struct.error, KeyError, ...
        message = f"the {title} cannot be decoded: it is damaged, truncated or of an unusual variant"
        raise UndecodableImage(message) from error


@cache
def _guard_pillow() -> None:
    """Set Pillow's process-wide limit once, above ours: ours counts, as it can differ by call and by thread.

    Pillow's remains for what a decoder finds inside a file.
    """
    Image.MAX_IMAGE_PIXELS = PILLOW_MAX_PIXELS
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
