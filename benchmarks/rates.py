"""Rate-distortion curves and pictures for the compression benchmarks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import images, metrics

METRICS = ("RGB-PSNR", "Y-PSNR", "MS-SSIM")

Pixels = NDArray[np.uint8]
Curve = NDArray[np.float64]  # [points, 4]: bits per pixel, PSNR, PSNR of luma, MS-SSIM in dB


def pictures(folder: Path, count: int, size: tuple[int, int] = (384, 512)) -> Iterator[Pixels]:
    """Middles of `count` pictures, of at most `size` (height, width), evenly spread over the folder's sorted names."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".webp"})
    if not paths:
        raise SystemExit(f"{folder} holds no PNG or WebP")
    for path in paths[:: max(1, len(paths) // count)][:count]:
        pixels = images.decode(path.read_bytes())
        top, left = (max(0, has - most) // 2 for has, most in zip(pixels.shape[:2], size, strict=True))
        yield np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])


def point(picture: Pixels, shown: Pixels, size_bytes: int) -> tuple[float, float, float, float]:
    """Row of a `Curve` for a decoded or restored picture and the size of its file."""
    return (
        8 * size_bytes / (picture.shape[0] * picture.shape[1]),
        metrics.psnr(picture, shown),
        metrics.psnr_y(picture, shown),
        metrics.similarity_db(metrics.ms_ssim(picture, shown)),
    )


def reference_jpeg(picture: Pixels, qualities: Sequence[int]) -> Curve:
    """Anchor curve of libjpeg-turbo: 4:2:0, baseline, optimised Huffman codes."""
    points = []
    for quality in qualities:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
        points.append(point(picture, np.asarray(Image.open(file)), file.getbuffer().nbytes))
    return np.array(points)


def savings(anchors: Sequence[Curve], curves: Sequence[Curve], low_bpp: float, high_bpp: float) -> tuple[float, ...]:
    """Mean BD-rates in percent, by `METRICS`; pictures without a common quality are left out."""
    found: list[list[float]] = [[] for _ in METRICS]
    for anchor, curve in zip(anchors, curves, strict=True):
        for index, saving in enumerate(found):
            columns = [0, 1 + index]
            try:
                saving.append(metrics.bd_rate(anchor[:, columns], curve[:, columns], low_bpp, high_bpp))
            except metrics.NoOverlap:
                continue
    return tuple(float(np.mean(saving)) if saving else float("nan") for saving in found)
