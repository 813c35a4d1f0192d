"""Compression to WebP, AVIF and JPEG 2000, whose encoders take a quality level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codec.levels import LevelTrials, best_level
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.quality_scale import QualityScale
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codecs import QUALITY_CODECS
from virtual_codec.images import Metadata
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions, CompressResult, check_deadline
from virtual_codec.metrics import MS_SSIM_MIN_SIDE, ms_ssim


def compress_by_quality(
    pixels: NDArray[np.uint8],
    model: ModelNetworks,
    options: CompressOptions,
    metadata: Metadata,
    stopwatch: Stopwatch,
    *,
    grey_as_colour: bool,
) -> CompressResult:
    """Compress an image, [H, W, 3] or [H, W], with the codec of the options. Raises the errors of `compress`."""
    codec = QUALITY_CODECS[options.codec]
    trials = LevelTrials(
        pixels,
        model,
        codec,
        effort=options.effort,
        stopwatch=stopwatch,
        metadata=metadata,
        grey_as_colour=grey_as_colour,
    )
    scale = QualityScale(model.manifest, codec, pixels)
    best = best_level(trials, scale, options)
    check_deadline()
    height, width = pixels.shape[:2]
    quality = options.quality or DEFAULT_QUALITY
    if options.target:
        quality = scale.nearest_quality(best.settings.level)
    is_large_enough = min(height, width) >= MS_SSIM_MIN_SIDE
    wants_ms_ssim = options.min_ms_ssim is not None or (options.measure and is_large_enough)
    return CompressResult(
        stream=best.stream,
        media_type=codec.media_type,
        model=model.manifest.id,
        scale=1,
        width=width,
        height=height,
        quality=quality,
        psnr_db=best.psnr_db,
        ms_ssim=ms_ssim(best.restored, pixels) if wants_ms_ssim else None,
        stages_s=stopwatch.stages_s,
    )
