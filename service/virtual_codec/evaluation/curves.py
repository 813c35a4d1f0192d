"""Rate-distortion curves of pictures, mean curves, and rate differences between codecs.

METRICS  column of points.csv -> label and scale for interpolation
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import metrics
from virtual_codec.evaluation.points import Point
from virtual_codec.metrics import Curve

_MIN_ERROR: Final = 1e-3  # replaces errors of 0, which have no logarithm
MIN_SHARE: Final = 0.9  # share of the pictures that must reach a rate for a mean at that rate


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Metric of points.csv: its label, its scale on curves, and its mean.

    Similarities are interpolated as -10 log10(1 - x) and averaged unscaled. Errors are better if lower. They are
    interpolated as -20 log10(x), and their mean is the root mean square. Reports omit an optional metric if no point
    has it.
    """

    label: str
    is_similarity: bool = False
    is_error: bool = False
    is_optional: bool = False

    def scaled(self, value: float) -> float:
        """Convert a column's value to the scale of curves."""
        if self.is_error:
            return -20 * math.log10(max(value, _MIN_ERROR))
        return metrics.similarity_db(value) if self.is_similarity else value

    def unscaled(self, scaled: Curve) -> Curve:
        """Convert values on the scale of curves to the column's values."""
        if self.is_error:
            return np.asarray(10 ** (-scaled / 20))
        return np.asarray(1 - 10 ** (-scaled / 10) if self.is_similarity else scaled)

    def mean(self, values: Curve) -> float:
        """Mean of a column's values over pictures, without those that are NaN."""
        return float(np.sqrt(np.nanmean(np.square(values))) if self.is_error else np.nanmean(values))


METRICS: Final = {
    "psnr_rgb": Metric(label="PSNR RGB"),
    "psnr_y": Metric(label="PSNR Y"),
    "ssim": Metric(label="SSIM", is_similarity=True),
    "ms_ssim": Metric(label="MS-SSIM", is_similarity=True),
    "ssimulacra2": Metric(label="SSIMULACRA2", is_optional=True),
    "colour_drift": Metric(label="colour drift", is_error=True, is_optional=True),
}


@dataclass(frozen=True, kw_only=True)
class BdRate:
    """Rate difference to JPEG in percent (Bjontegaard), mean over a set's pictures.

    `images` is the number of pictures in the mean. `without_overlap` is the number of pictures that have no curve, or
    whose curve has no quality in common with JPEG's in the range.
    """

    set: str
    codec: str
    metric: str
    low_bpp: float
    high_bpp: float
    percent: float | None
    images: int
    without_overlap: int


def curves(points: Iterable[Point], metric: str) -> dict[str, Curve]:
    """Curves of the images of one set and codec: bits per pixel and scaled metric, [N, 2] each."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for point in points:
        value: float | None = getattr(point, metric)
        if value is not None:
            found[point.image].append((point.bpp, METRICS[metric].scaled(value)))
    return {image: metrics.rising(np.array(curve)) for image, curve in found.items()}


def mean_curve(
    points: Iterable[Point], metric: str, at_bpp: Sequence[float], *, continues: bool = False
) -> list[float | None]:
    """Mean metric over the images at each rate, or None if fewer than `MIN_SHARE` of the images reach the rate.

    The mean is over the images that reach the rate. With `continues` the other curves are extrapolated in parallel,
    so that a drawn curve has no step at the end of an image's curve.
    """
    of_images = curves(points, metric)
    log_rates = np.log(np.asarray(at_bpp, dtype=np.float64))
    if not of_images:
        return [None] * len(log_rates)
    reached = np.stack([_interpolated(curve, log_rates) for curve in of_images.values()])
    enough = np.isfinite(reached).mean(axis=0) >= MIN_SHARE
    values = METRICS[metric].unscaled(_continued(reached, enough) if continues else reached)
    columns = zip(values.T, enough, strict=True)
    return [METRICS[metric].mean(column) if ok else None for column, ok in columns]


def compare_rates(
    anchor: Mapping[str, Curve],
    test: Mapping[str, Curve],
    low_bpp: float,
    high_bpp: float,
) -> tuple[list[float], int]:
    """BD-rates in percent of the images that have one, and the number of images without one."""
    found = []
    for image, curve in test.items():
        try:
            found.append(metrics.bd_rate(anchor[image], curve, low_bpp, high_bpp))
        except metrics.NoOverlap:
            continue
    return found, len(test) - len(found)


def at_rates(curve: Curve, rates_bpp: Sequence[float]) -> Curve:
    """Scaled metric of one image's curve at given rates; NaN outside of the curve."""
    return _interpolated(curve, np.log(np.asarray(rates_bpp, dtype=np.float64)))


def _interpolated(curve: Curve, at_log_rate: Curve) -> Curve:
    if len(curve) < 2:
        return np.full(len(at_log_rate), np.nan)
    log_rate = np.log(curve[:, 0])
    values = metrics.pchip(log_rate, curve[:, 1], at_log_rate)
    inside = (at_log_rate >= log_rate[0]) & (at_log_rate <= log_rate[-1])
    return np.where(inside, values, np.nan)


def _continued(reached: Curve, enough: NDArray[np.bool_]) -> Curve:
    """Fill the NaNs of [images, rates] in the columns marked by `enough`, outward from the fullest column."""
    filled = reached.copy()
    columns = np.flatnonzero(enough)
    if not len(columns):
        return filled
    fullest = int(columns[np.argmax(np.isfinite(reached[:, columns]).sum(axis=0))])
    inner_to_outer = [(column - 1, column) for column in columns if column > fullest]
    inner_to_outer += [(column + 1, column) for column in columns[::-1] if column < fullest]
    for inner, outer in inner_to_outer:
        step = np.nanmean(reached[:, outer] - reached[:, inner])
        filled[:, outer] = np.where(np.isnan(reached[:, outer]), filled[:, inner] + step, reached[:, outer])
    return filled
