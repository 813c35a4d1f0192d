"""Lossless encoding of pixels as PNG, WebP or BMP."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.errors import NotAcceptable
from virtual_codec.images._metadata import Metadata, add_to_png
from virtual_codec.images._png_writer import write_png
from virtual_codec.jobs import OutputFormat

MEDIA_TYPES: dict[OutputFormat, str] = {"png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}

_NO_METADATA = Metadata()
_WEBP_MAX_SIDE = 16_383


def encode(pixels: NDArray[np.uint8], output: OutputFormat, metadata: Metadata = _NO_METADATA) -> bytes:
    """Encode [H, W, 3] sRGB or [H, W] grey, uint8, losslessly. Grey stays grey, except in WebP, which has no grey.

    `metadata` is written to PNG and WebP; BMP has no metadata. Raises `NotAcceptable` for a picture that is too large
    for the format.
    """
    is_shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not is_shaped or not pixels.size:
        raise ValueError(f"pixels must be [H, W] or [H, W, 3] uint8, got {pixels.shape} {pixels.dtype}")
    return _WRITERS[output](pixels, metadata)


def _write_png(pixels: NDArray[np.uint8], metadata: Metadata) -> bytes:
    return add_to_png(write_png(pixels), metadata)


def _write_webp(pixels: NDArray[np.uint8], metadata: Metadata) -> bytes:
    if max(pixels.shape[:2]) > _WEBP_MAX_SIDE:
        raise NotAcceptable(f"a WebP side has at most {_WEBP_MAX_SIDE} pixels; ask for image/png")
    options = {"exif": metadata.exif, "xmp": metadata.xmp}
    options = {name: value for name, value in options.items() if value is not None}
    return _write_by_pillow(pixels, "WEBP", lossless=True, method=0, quality=0, **options)


def _write_bmp(pixels: NDArray[np.uint8], _metadata: Metadata) -> bytes:
    return _write_by_pillow(pixels, "BMP")


def _write_by_pillow(pixels: NDArray[np.uint8], name: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


_WRITERS: dict[OutputFormat, Callable[[NDArray[np.uint8], Metadata], bytes]] = {
    "png": _write_png,
    "webp": _write_webp,
    "bmp": _write_bmp,
}
