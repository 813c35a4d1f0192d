"""Files of a picture at one rate: the stream, and JPEG, WebP and AVIF files of at most its size."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from benchmarks.gallery.pictures import Pixels
from virtual_codec import images
from virtual_codec.codec import VirtualCodec
from virtual_codec.evaluation import ANCHORS, Anchor
from virtual_codec.jobs import CompressOptions
from virtual_codec.metrics import ms_ssim, psnr

OWN = "virtual-codec"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """File of a picture by one codec, with the picture that is shown and its similarity to the original."""

    codec: str
    size_bytes: int
    pixels: Pixels
    file: bytes
    psnr_db: float
    ms_ssim: float


def code(picture: Pixels, rate_bpp: float, codec: VirtualCodec) -> list[Shown]:
    """File of every codec in at most `rate_bpp` bits per pixel, or its smallest file if none is so small."""
    stream = codec.compress(images.encode(picture, "png"), CompressOptions(max_bpp=rate_bpp)).stream
    restored = images.decode(codec.restore(stream).image)
    if restored.ndim == 2:
        restored = np.repeat(restored[..., None], 3, axis=2)
    found = [_shown_file(OWN, stream, restored, picture)]
    for name in ("jpeg", "webp", "avif"):
        file = largest_within(ANCHORS[name], picture, len(stream))
        with Image.open(io.BytesIO(file)) as image:
            found.append(_shown_file(ANCHORS[name].label, file, np.asarray(image.convert("RGB")), picture))
    return found


def largest_within(anchor: Anchor, picture: Pixels, size_bytes: int) -> bytes:
    """File of the highest quality within the size, or of the lowest quality if none is so small."""
    if anchor.name != "avif":
        return _by_bisection(anchor, picture, size_bytes)[1]
    # Speed 8 gives similar sizes in a tenth of the time, so its result is the start of the search.
    quick = replace(anchor, fixed={**anchor.fixed, "speed": 8})
    quality = _by_bisection(quick, picture, size_bytes)[0]
    best = anchor.encode(picture, quality)
    while len(best) > size_bytes and quality > 1:
        quality -= 1
        best = anchor.encode(picture, quality)
    while quality < 100 and len(higher := anchor.encode(picture, quality + 1)) <= size_bytes:
        quality, best = quality + 1, higher
    return best


def _by_bisection(anchor: Anchor, picture: Pixels, size_bytes: int) -> tuple[int, bytes]:
    low, high = 2, 100
    best = (1, anchor.encode(picture, 1))
    while low <= high:
        middle = (low + high) // 2
        file = anchor.encode(picture, middle)
        if len(file) <= size_bytes:
            best, low = (middle, file), middle + 1
        else:
            high = middle - 1
    return best


def _shown_file(codec: str, file: bytes, pixels: Pixels, picture: Pixels) -> Shown:
    return Shown(
        codec=codec,
        size_bytes=len(file),
        file=file,
        pixels=pixels,
        psnr_db=psnr(pixels, picture),
        ms_ssim=ms_ssim(pixels, picture),
    )
