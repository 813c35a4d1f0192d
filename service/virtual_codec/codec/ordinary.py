"""Ordinary files for comparison with streams: the image as Pillow's JPEG, WebP or AVIF, measured.

image ─► encoder at a quality, or at the best quality within a size ─► decoded, measured
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.errors import SideTooLong, TooManyPixels, UnreachableTarget
from virtual_codec.jobs import CompressResult, OrdinaryFormat, OrdinaryOptions, check_deadline
from virtual_codec.metrics import MS_SSIM_MIN_SIDE, ms_ssim, psnr

# An encoder cannot be stopped at the deadline. With these bounds it takes seconds of one core, not minutes.
MAX_PIXELS: Final = 16_000_000
_MAX_SPEED_6_PIXELS: Final = 1_000_000  # up to this size AVIF uses speed 6, above it speed 8


@dataclass(frozen=True, kw_only=True)
class _Format:
    """Encoder of Pillow, and its options for pixels: [H, W, 3] or [H, W]."""

    name: str
    media_type: str
    longest_side: int
    options: Callable[[NDArray[np.uint8]], Mapping[str, object]]


def encode_ordinary(
    pixels: NDArray[np.uint8], options: OrdinaryOptions, stages_s: Mapping[str, float] | None = None
) -> CompressResult:
    """Encode [H, W, 3] or [H, W] as an ordinary file and measure it.

    Raises `TooManyPixels`, `SideTooLong`, `DeadlineExceeded`, and `UnreachableTarget` if the file is too large even at
    the lowest quality.
    """
    height, width = pixels.shape[:2]
    if height * width > MAX_PIXELS:
        raise TooManyPixels(
            f"ordinary files are made for at most {MAX_PIXELS} pixels, got {width}x{height}",
            limit=MAX_PIXELS,
            actual=height * width,
        )
    form = _FORMATS[options.format]
    if max(height, width) > form.longest_side:
        raise SideTooLong(
            f"Pillow writes {form.name} of at most {form.longest_side} pixels a side, got {width}x{height}",
            limit=form.longest_side,
            actual=max(height, width),
        )
    if options.max_bytes is None:
        quality = options.quality or 1
        stream = _encode(pixels, options.format, quality)
    else:
        quality, stream = _best_quality_within(pixels, options.format, options.max_bytes)
    with Image.open(io.BytesIO(stream)) as image:
        decoded = np.asarray(image.convert("L" if pixels.ndim == 2 else "RGB"))
    return CompressResult(
        stream=stream,
        media_type=form.media_type,
        model="",
        scale=1,
        width=width,
        height=height,
        quality=quality,
        psnr_db=min(psnr(decoded, pixels), 100.0),
        ms_ssim=ms_ssim(decoded, pixels) if min(height, width) >= MS_SSIM_MIN_SIDE else None,
        stages_s=stages_s or {},
    )


def _best_quality_within(pixels: NDArray[np.uint8], form: OrdinaryFormat, max_bytes: int) -> tuple[int, bytes]:
    """Highest quality whose file has at most `max_bytes`, by bisection, and that file."""
    best: tuple[int, bytes] | None = None
    low, high, least = 1, 100, 0
    while low <= high:
        middle = (low + high) // 2
        stream = _encode(pixels, form, middle)
        if len(stream) <= max_bytes:
            best, low = (middle, stream), middle + 1
        else:
            least, high = len(stream), middle - 1
    if best is None:
        raise UnreachableTarget(
            f"{form.upper()} at its lowest quality has {least} bytes, more than the {max_bytes} asked for",
            limit=max_bytes,
            actual=least,
        )
    return best


def _encode(pixels: NDArray[np.uint8], form: OrdinaryFormat, quality: int) -> bytes:
    check_deadline()
    found, file = _FORMATS[form], io.BytesIO()
    Image.fromarray(pixels).save(file, found.name, quality=quality, **found.options(pixels))
    return file.getvalue()


def _avif_options(pixels: NDArray[np.uint8]) -> Mapping[str, object]:
    speed = 6 if pixels.shape[0] * pixels.shape[1] <= _MAX_SPEED_6_PIXELS else 8
    subsampling = "4:0:0" if pixels.ndim == 2 else "4:2:0"
    return {"speed": speed, "subsampling": subsampling, "max_threads": 1, "autotiling": False}


_FORMATS: Final[Mapping[OrdinaryFormat, _Format]] = {
    "jpeg": _Format(
        name="JPEG",
        media_type="image/jpeg",
        longest_side=65_500,
        options=lambda _: {"optimize": True, "subsampling": "4:2:0"},
    ),
    "webp": _Format(name="WEBP", media_type="image/webp", longest_side=16_383, options=lambda _: {"method": 6}),
    "avif": _Format(name="AVIF", media_type="image/avif", longest_side=65_535, options=_avif_options),
}
