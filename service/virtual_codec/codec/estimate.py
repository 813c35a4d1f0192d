"""Size and error of a stream, and their estimate for an image from a trial of its probe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

from virtual_codec.codec.reference import reference_jpeg
from virtual_codec.codec.trial import Trial, Trials

# Share of the squared error of halving by the plain filters that remains in an image restored from half size.
_REMAINING_HALVING_ERROR: Final = 0.5
_HEADER_BYTES: Final = 300  # approximate size of the headers of any stream: it does not grow with the picture


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Bytes of a stream, and mean squared error of its restored image over all samples, measured or estimated."""

    size_bytes: float
    squared_error: float

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio over all samples."""
        return 10 * math.log10(255**2 / max(self.squared_error, 1e-5))


@final
class Estimator:
    """Estimator of outcomes for an image from trials of its probe, around a quality (1-100).

    The ordinary JPEG of the quality is the control variate: the bytes of coded data and the squared error are assumed
    to differ between probe and image by the same factors as the ordinary JPEG's. At half size the plain filters' error
    of halving is a second control variate, because a few sharp edges of an image can cause most of it.
    """

    def __init__(self, trials: Trials, quality: int) -> None:
        height, width = trials.pixels.shape[:2]
        self._pixels: int = height * width
        self._error_ratio = self._data_ratio = 1.0
        self._halving_excess = 0.0
        if trials.probe is not trials:
            whole, probe = (reference_jpeg(each, quality) for each in (trials, trials.probe))
            self._error_ratio = whole.squared_error / probe.squared_error
            self._halving_excess = _REMAINING_HALVING_ERROR * (
                trials.halving_error - self._error_ratio * trials.probe.halving_error
            )
            self._data_ratio = _data_bytes(whole.size_bytes) / _data_bytes(probe.size_bytes)

    def outcome(self, on_probe: Trial) -> Outcome:
        """Expected outcome for the image with the mode and settings of a trial of its probe."""
        error = on_probe.squared_error * self._error_ratio
        if on_probe.mode.scale > 1:
            error = max(error / 2, error + self._halving_excess)
        data = self._data_ratio * _data_bytes(on_probe.size_bytes)
        return Outcome(
            size_bytes=on_probe.size_bytes + data - _data_bytes(on_probe.size_bytes),
            squared_error=error,
        )

    def cost(self, on_probe: Trial, multiplier: float, *, with_factor: bool = True) -> float:
        """Expected Lagrangian cost for the image, as in `Trial.cost`; `with_factor` includes the mode's cost factor."""
        outcome = self.outcome(on_probe)
        cost = outcome.squared_error * self._pixels + multiplier * 8 * outcome.size_bytes
        return cost * on_probe.mode.cost_factor if with_factor else cost


def outcome_of(trial: Trial) -> Outcome:
    """Outcome of a trial of the image itself."""
    return Outcome(size_bytes=trial.size_bytes, squared_error=trial.squared_error)


def _data_bytes(size_bytes: float) -> float:
    return max(1.0, size_bytes - _HEADER_BYTES)
