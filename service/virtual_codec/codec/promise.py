"""Promise of a quality: at least the PSNR of the ordinary JPEG of that quality, in at most a share of its bytes.

The operating point of a quality is calibrated on many photographs; single images differ from it by about a decibel.
Therefore the encoder also makes the ordinary JPEG of the image as a reference. If a stream misses the promise, the
image is coded again at a corrected step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from virtual_codec.codec.estimate import Outcome
from virtual_codec.codec.operating import DB_PER_LOG_STEP, LOG_BYTES_PER_LOG_STEP
from virtual_codec.codec.reference import reference_jpeg
from virtual_codec.codec.trial import Trials

LOWEST_PROMISED: Final = 5
ALLOWED_BYTES: Final = ((5, 0.7), (50, 0.7), (95, 0.97), (100, 0.97))  # quality -> share of the ordinary JPEG's bytes

_DB_PER_LOG_BYTES: Final = DB_PER_LOG_STEP / LOG_BYTES_PER_LOG_STEP
# Bound on the ratio, either way, of an image's slopes to a photograph's, measured roughly.
_MAX_SLOPE_RATIO: Final = 2.0
_PSNR_MARGIN_DB: Final = 0.1  # margin in PSNR while the image's slopes are unknown
_PSNR_MARGIN_WITH_SLOPES_DB: Final = 0.03
_SIZE_MARGIN_LOG_BYTES: Final = 0.03
_MAX_CORRECTION: Final = math.log(
    1.6
)  # largest change of the log step in one correction, for images unlike photographs
_MIN_CORRECTION: Final = math.log(1.005)
_SIZE_TOLERANCE: Final = (
    1.01  # factor on the allowed bytes up to which a stream is not coded again; corrections aim below it
)
# If PSNR and bytes conflict, PSNR has priority: the mean over photographs has bytes to spare at every quality.
_SIZE_WEIGHT: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Slopes over the log step: of PSNR, in dB, and of the logarithm of the bytes. The defaults are a photograph's."""

    db: float = DB_PER_LOG_STEP
    log_bytes: float = LOG_BYTES_PER_LOG_STEP

    @staticmethod
    def between(before: Outcome, after: Outcome, log_step: float) -> Slopes:
        """Slopes between two streams of an image whose log steps differ by `log_step`.

        They are limited to between half and twice a photograph's.
        """

        def within(slope: float, usual: float) -> float:
            return usual * min(_MAX_SLOPE_RATIO, max(1 / _MAX_SLOPE_RATIO, slope / usual))

        return Slopes(
            db=within((after.psnr_db - before.psnr_db) / log_step, DB_PER_LOG_STEP),
            log_bytes=within(math.log(after.size_bytes / before.size_bytes) / log_step, LOG_BYTES_PER_LOG_STEP),
        )


@dataclass(frozen=True, kw_only=True)
class Promise:
    """Promise for one image: at least `psnr_db` in at most `most_bytes`. The ordinary JPEG has `jpeg_bytes`."""

    psnr_db: float
    most_bytes: float
    jpeg_bytes: float

    def before_optimisation(self, share: float) -> Promise:
        """Promise in bytes of streams before `optimise_scans`, which leaves a share of them."""
        return replace(self, most_bytes=self.most_bytes / share, jpeg_bytes=self.jpeg_bytes / share)

    def is_kept(self, outcome: Outcome) -> bool:
        """True if the outcome is good enough and small enough."""
        return outcome.psnr_db >= self.psnr_db and outcome.size_bytes <= _SIZE_TOLERANCE * self.most_bytes

    def shortfall(self, outcome: Outcome) -> float:
        """Distance from the promise in log bytes, 0 if it is kept; an excess of bytes counts by half."""
        missing = max(0.0, self.psnr_db - outcome.psnr_db) / _DB_PER_LOG_BYTES
        return missing + _SIZE_WEIGHT * max(0.0, math.log(outcome.size_bytes / self.most_bytes))

    def log_step_correction(self, outcome: Outcome, slopes: Slopes | None = None) -> float:
        """Correction of the log step with which a stream should keep the promise; 0 if none is needed or would help.

        Where PSNR and bytes cannot both be kept, the correction aims at the PSNR, within the bytes of the ordinary
        JPEG. `slopes` are the image's own where two trials have measured them; without them a photograph's are used,
        with a larger margin.
        """
        if self.is_kept(outcome):
            return 0.0
        now = math.log(outcome.size_bytes)
        most = math.log(self.most_bytes) - _SIZE_MARGIN_LOG_BYTES
        spare_db, slopes = (_PSNR_MARGIN_DB, Slopes()) if slopes is None else (_PSNR_MARGIN_WITH_SLOPES_DB, slopes)
        least = now + (self.psnr_db + spare_db - outcome.psnr_db) * slopes.log_bytes / slopes.db
        wanted = min(least, math.log(self.jpeg_bytes)) if least > most else max(least, min(most, now))
        move = (wanted - now) / slopes.log_bytes
        return 0.0 if abs(move) < _MIN_CORRECTION else min(_MAX_CORRECTION, max(-_MAX_CORRECTION, move))


def promise_of(trials: Trials, quality: int) -> Promise | None:
    """Promise of a quality for the image of `trials`, or None if there is none.

    There is none below quality 5, and for an image whose sides are too long for an ordinary JPEG.
    """
    if quality < LOWEST_PROMISED or trials.least_scale > 1:
        return None
    reference = reference_jpeg(trials, quality)
    qualities, shares = zip(*ALLOWED_BYTES, strict=True)
    return Promise(
        psnr_db=reference.psnr_db,
        most_bytes=reference.size_bytes * float(np.interp(quality, qualities, shares)),
        jpeg_bytes=reference.size_bytes,
    )
