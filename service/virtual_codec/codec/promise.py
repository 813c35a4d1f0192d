"""Promise of a quality: at least the PSNR of the ordinary JPEG of that quality, in at most a share of its bytes.

The operating point of a quality is measured over many photographs; single images differ from it by about a decibel.
Hence the ordinary JPEG of the image itself is made as the reference, and a stream that misses the promise is coded
again at a corrected step.
"""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import images
from virtual_codec.codec.operating import LOG_BYTES_PER_LOG_STEP
from virtual_codec.codec.trial import Trial, Trials, mean_squared_error

LOWEST_PROMISED: Final = 5
ALLOWED_BYTES: Final = ((5, 0.7), (50, 0.7), (95, 0.97), (100, 0.97))  # quality -> most of the ordinary JPEG's bytes

# Around an operating point, on photographs: twice the bytes give about 2.7 dB.
_DB_PER_LOG_BYTES: Final = 2.7 / math.log(2)
_SPARE_DB: Final = 0.1
_SPARE_LOG_BYTES: Final = 0.03
_LARGEST_MOVE: Final = math.log(1.6)  # of the step: an image unlike any photograph is not followed far
_SMALLEST_MOVE: Final = math.log(1.02)


def log_step_correction(trials: Trials, quality: int, trial: Trial) -> float:
    """Correction of `trial`'s log step with which its stream should keep the promise of a quality; 0 if it does.

    Where PSNR and bytes cannot both be kept, the correction aims at the middle of the two.
    """
    if quality < LOWEST_PROMISED or trials.least_scale > 1:  # an image too long for an ordinary JPEG has none
        return 0.0
    jpeg_bytes, jpeg_psnr_db = reference_jpeg(trials, quality)
    qualities, shares = zip(*ALLOWED_BYTES, strict=True)
    now = math.log(trial.size_bytes)
    most = math.log(jpeg_bytes * float(np.interp(quality, qualities, shares))) - _SPARE_LOG_BYTES
    least = now + (jpeg_psnr_db + _SPARE_DB - trial.psnr_db) / _DB_PER_LOG_BYTES
    wanted = (least + most) / 2 if least > most else min(most, max(least, now))
    move = (wanted - now) / LOG_BYTES_PER_LOG_STEP
    return 0.0 if abs(move) < _SMALLEST_MOVE else min(_LARGEST_MOVE, max(-_LARGEST_MOVE, move))


def reference_jpeg(trials: Trials, quality: int) -> tuple[int, float]:
    """Bytes and PSNR (dB, all samples) of the image as an ordinary JPEG: libjpeg's tables, 4:2:0, optimised."""
    if quality not in trials.reference_jpegs:
        size_bytes, shown = reference_picture(trials, quality)
        error = mean_squared_error(shown, trials.pixels)
        trials.reference_jpegs[quality] = size_bytes, 10 * math.log10(255**2 / max(error, 1e-3))
    return trials.reference_jpegs[quality]


def reference_picture(trials: Trials, quality: int, *, subsampling: int = 2) -> tuple[int, NDArray[np.uint8]]:
    """Bytes and decoded picture of the image as an ordinary JPEG; `subsampling` is 2 (4:2:0) or 0 (4:4:4)."""
    images.configure_pillow()
    file = io.BytesIO()
    Image.fromarray(trials.pixels).save(file, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    with Image.open(file, formats=("JPEG",)) as shown:
        return file.getbuffer().nbytes, np.asarray(shown)
