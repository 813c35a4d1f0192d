"""Ordinary JPEG of an image, the reference of its qualities: libjpeg's tables, 4:2:0, optimised Huffman codes."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import images
from virtual_codec.codec.trial import ReferenceJpeg, Trials


def reference_jpeg(trials: Trials, quality: int) -> ReferenceJpeg:
    """Measures of the image as an ordinary JPEG of a quality."""
    if quality not in trials.reference_jpegs:
        coded, shown = reference_picture(trials, quality)
        trials.reference_jpegs[quality] = ReferenceJpeg(
            size_bytes=len(coded),
            squared_error=max(trials.squared_error(shown), 1e-3),
        )
    return trials.reference_jpegs[quality]


def reference_picture(trials: Trials, quality: int, *, subsampling: int = 2) -> tuple[bytes, NDArray[np.uint8]]:
    """File and decoded picture of the image as an ordinary JPEG; `subsampling` is 2 (4:2:0) or 0 (4:4:4)."""
    images.configure_pillow()
    file = io.BytesIO()
    Image.fromarray(trials.pixels).save(file, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    with Image.open(file, formats=("JPEG",)) as shown:
        return file.getvalue(), np.asarray(shown)
