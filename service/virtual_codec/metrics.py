"""Image quality metrics, and BD-rate, the bytes that a codec saves against another.

Pictures are 8-bit, [H, W, 3] (red, green, blue) or [H, W] (grey), and both of one shape. Definitions on which
papers differ: PSNR pools all samples; luma is JPEG's (BT.601, full range) and is not rounded;
SSIM and MS-SSIM use an 11x11 Gaussian window of sigma 1.5 where it fits wholly inside.
"""

from __future__ import annotations

import math
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Curve = NDArray[np.float64]

SSIM_MIN_SIDE: Final = 11
MS_SSIM_MIN_SIDE: Final = 161  # five scales: the window must fit after four halvings
LOWEST_BPP: Final = 0.05  # lower rates are ignored: they are mostly headers

_WINDOW_SIDE: Final = SSIM_MIN_SIDE
_SIGMA: Final = 1.5
_C1: Final = (0.01 * 255) ** 2
_C2: Final = (0.03 * 255) ** 2
_SCALE_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003
_LUMA: Final = np.array([0.299, 0.587, 0.114])
_CHROMA: Final = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)  # Cb, Cr of JFIF
_DRIFT_SIGMA: Final = 8.0
_MIDDLE_LEVEL: Final = np.float32(128)


@final
class NoOverlap(ValueError):
    """Error for two rate-distortion curves without a common quality, for which there is no BD-rate."""


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio over all samples, in dB; infinite for equal pictures."""
    _check_pair(first, second)
    difference = first.astype(np.int32) - second
    return _psnr_db(float(np.mean(np.square(difference), dtype=np.float64)))


def psnr_y(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio of the luma, in dB; that of a grey picture is its `psnr`."""
    _check_pair(first, second)
    return _psnr_db(float(np.mean(np.square(_luma(first) - _luma(second)))))


def ssim(first: Pixels, second: Pixels) -> float:
    """Structural similarity of the luma, at most 1. Raises `ValueError` for a side under 11 pixels."""
    _check_pair(first, second)
    _check_side(first, _WINDOW_SIDE)
    luminance, contrast = _similarity_maps(_centred(_luma(first)), _centred(_luma(second)))
    return min(float(np.mean(luminance * contrast, dtype=np.float64)), 1.0)


def ms_ssim(first: Pixels, second: Pixels) -> float:
    """Multi-scale structural similarity, mean of the channels, 0 to 1. `ValueError` under 161 pixels."""
    _check_pair(first, second)
    _check_side(first, MS_SSIM_MIN_SIDE)
    if first.ndim == 2:
        return _ms_ssim_plane(_centred(first), _centred(second))
    return sum(_ms_ssim_plane(_centred(first[..., c]), _centred(second[..., c])) for c in range(3)) / 3


def colour_drift(first: Pixels, second: Pixels) -> float:
    """Root mean square of the errors of Cb and Cr after a Gaussian blur of sigma 8 pixels, in levels of 255.

    It measures patches of wrong hue, which PSNR hardly counts; fine chroma noise averages out. Both [H, W, 3], any
    side; borders are mirrored. Raises `ValueError` for grey pictures, which have no chroma.
    """
    _check_pair(first, second)
    if first.ndim != 3:
        raise ValueError(f"colour drift needs pictures of [H, W, 3], got {first.shape}")
    error = (second.astype(np.float32) - first) @ _CHROMA.T
    reach = len(_DRIFT_TAPS) // 2
    padded = np.pad(
        np.moveaxis(error.astype(np.float32), 2, 0), ((0, 0), (reach, reach), (reach, reach)), mode="symmetric"
    )
    blurred = _window_means(padded, _DRIFT_BAND)
    return math.sqrt(float(np.mean(np.square(blurred), dtype=np.float64)))


def similarity_db(similarity: float) -> float:
    """Similarity (SSIM or MS-SSIM) on a scale that is about linear in log rate: -10 log10(1 - x); infinite at 1."""
    return math.inf if similarity >= 1 else -10 * math.log10(1 - similarity)


def bd_rate(anchor: Curve, test: Curve, low_bpp: float, high_bpp: float) -> float:
    """Bjontegaard's mean rate difference of `test` against `anchor`, in percent; negative if `test` saves bytes.

    Curves are [N, 2]: bits per pixel and a metric, in any order. The log rates are interpolated over the metric by
    PCHIP and compared over the metric interval that the anchor reaches from `low_bpp` to `high_bpp` and the test
    reaches at any rate from `LOWEST_BPP` up. (With a common range of rates, a much better codec would be compared only
    at the anchor's high end.) Points that are no better than a cheaper one are ignored. Raises `NoOverlap` if there is
    no such interval.
    """
    curves = [_inverse_curve(anchor), _inverse_curve(test)]
    anchor_reach = _reached_range(*curves[0], math.log(low_bpp), math.log(high_bpp))
    test_reach = _reached_range(*curves[1], math.log(min(low_bpp, LOWEST_BPP)), math.inf)
    low, high = max(anchor_reach[0], test_reach[0]), min(anchor_reach[1], test_reach[1])
    if not low < high:
        raise NoOverlap(f"the curves reach no common quality between {low_bpp:g} and {high_bpp:g} bpp")
    at = np.linspace(low, high, 1001)
    anchor_log, test_log = (pchip(metric, log_rate, at) for metric, log_rate in curves)
    mean_difference = float(np.trapezoid(test_log - anchor_log, at)) / (high - low)
    return 100 * math.expm1(mean_difference)


def pchip(x: Curve, y: Curve, at: Curve) -> Curve:
    """Monotone piecewise cubic interpolation (Fritsch and Carlson): x strictly rising, [N] -> [M] at `at`.

    Equal to SciPy's `PchipInterpolator`, including extrapolation by the first and last piece.
    """
    if len(x) < 2:
        raise ValueError(f"interpolation needs at least 2 points, got {len(x)}")
    width = np.diff(x)
    slope = np.diff(y) / width
    tangent = _pchip_tangents(width, slope)
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    distance = at - x[piece]
    second = (3 * slope[piece] - 2 * tangent[piece] - tangent[piece + 1]) / width[piece]
    third = (tangent[piece] + tangent[piece + 1] - 2 * slope[piece]) / width[piece] ** 2
    return np.asarray(y[piece] + distance * (tangent[piece] + distance * (second + distance * third)))


def rising(curve: Curve) -> Curve:
    """Points of a curve [N, 2] (rate, metric) that are better than every cheaper one, by rising rate."""
    finite = curve[np.isfinite(curve).all(axis=1)]
    ordered = finite[np.lexsort((-finite[:, 1], finite[:, 0]))]
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], ordered[:, 1])))[:-1]
    return ordered[ordered[:, 1] > best_before]


def _inverse_curve(curve: Curve) -> tuple[Curve, Curve]:
    points = rising(curve)
    if len(points) < 2:
        raise NoOverlap(f"a curve needs at least 2 rising points, got {len(points)}")
    return points[:, 1], np.log(points[:, 0])


def _reached_range(metric: Curve, log_rate: Curve, low: float, high: float) -> tuple[float, float]:
    """Metric interval that a curve reaches at log rates from `low` to `high`; empty if first > second."""
    at = np.linspace(metric[0], metric[-1], 4001)
    reached_at = pchip(metric, log_rate, at)
    inside = np.flatnonzero((reached_at >= low) & (reached_at <= high))
    return (float(at[inside[0]]), float(at[inside[-1]])) if len(inside) else (math.inf, -math.inf)


def _pchip_tangents(width: Curve, slope: Curve) -> Curve:
    if len(slope) == 1:
        return np.array([slope[0], slope[0]])
    left, right = slope[:-1], slope[1:]
    left_weight, right_weight = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    same_sign = left * right > 0
    weighted = left_weight / np.where(same_sign, left, 1) + right_weight / np.where(same_sign, right, 1)
    inner = np.where(same_sign, (left_weight + right_weight) / np.where(same_sign, weighted, 1), 0)
    first = _end_tangent(float(width[0]), float(width[1]), float(slope[0]), float(slope[1]))
    last = _end_tangent(float(width[-1]), float(width[-2]), float(slope[-1]), float(slope[-2]))
    return np.concatenate(([first], inner, [last]))


def _end_tangent(width: float, next_width: float, slope: float, next_slope: float) -> float:
    tangent = ((2 * width + next_width) * slope - width * next_slope) / (width + next_width)
    if tangent * slope <= 0:
        return 0.0
    if slope * next_slope <= 0 and abs(tangent) > 3 * abs(slope):
        return 3 * slope
    return tangent


def _psnr_db(mean_square_error: float) -> float:
    return math.inf if mean_square_error == 0 else 10 * math.log10(255**2 / mean_square_error)


def _luma(pixels: Pixels) -> NDArray[np.float64]:
    return np.asarray(pixels @ _LUMA if pixels.ndim == 3 else pixels, dtype=np.float64)


def _centred(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    # Variances are differences of squares: around zero, float32 loses four times less of them.
    return np.asarray(np.subtract(plane, _MIDDLE_LEVEL, dtype=np.float32))


def _ms_ssim_plane(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    result = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale:
            first, second = _halved(first), _halved(second)
        luminance, contrast = _similarity_maps(first, second)
        last = scale == len(_SCALE_WEIGHTS) - 1
        mean = float(np.mean(luminance * contrast if last else contrast, dtype=np.float64))
        result *= max(mean, 0.0) ** weight
    return min(result, 1.0)  # float32 gives slightly more than 1 for flat pictures


def _similarity_maps(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Luminance and contrast-structure terms of SSIM at each position of the window, [H, W] -> [H-10, W-10]."""
    planes = np.stack([first, second, first * first + second * second, first * second])
    mean_first, mean_second, mean_squares, mean_product = _window_means(planes, _WINDOW_BAND)
    product = mean_first * mean_second
    squares = mean_first * mean_first + mean_second * mean_second
    contrast = (2 * (mean_product - product) + _C2) / (mean_squares - squares + _C2)
    shift = _MIDDLE_LEVEL * (
        mean_first + mean_second + _MIDDLE_LEVEL
    )  # from products of centred means to products of means
    luminance = (2 * (product + shift) + _C1) / (squares + 2 * shift + _C1)
    return luminance, contrast


def _window_means(planes: NDArray[np.float32], band: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted means at each position of a window of n taps, [N, H, W] -> [N, H-n+1, W-n+1]. `band` has its rows."""
    # Products with a banded matrix need twice the arithmetic of a loop over taps, but run in BLAS.
    count, height, width = planes.shape
    reach = band.shape[1] - _BAND_SIDE  # the window's side minus 1
    inner_height, inner_width = height - reach, width - reach
    rows = np.empty((count, inner_height, width), np.float32)
    for top in range(0, inner_height, _BAND_SIDE):
        weights = band[: inner_height - top, : height - top]
        bottom = top + len(weights)
        for left in range(0, width, _CHUNK):
            chunk = np.s_[left : left + _CHUNK]
            np.matmul(weights, planes[:, top : bottom + reach, chunk], out=rows[:, top:bottom, chunk])
    means = np.empty((count, inner_height, inner_width), np.float32)
    for left in range(0, inner_width, _BAND_SIDE):
        weights = band[: inner_width - left, : width - left]
        right = left + len(weights)
        for top in range(0, inner_height, _CHUNK):
            chunk = np.s_[top : top + _CHUNK]
            np.matmul(rows[:, chunk, left : right + reach], weights.T, out=means[:, chunk, left:right])
    return means


def _gaussian_taps(reach: int, sigma: float) -> NDArray[np.float64]:
    """Weights of a Gaussian window of 2 * reach + 1 taps, with sum 1."""
    offsets = np.arange(-reach, reach + 1)
    taps = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.asarray(taps / taps.sum())


def _banded(taps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Matrix whose rows are a window's weights, each shifted by one sample more: [_BAND_SIDE, _BAND_SIDE + n - 1]."""
    band = np.zeros((_BAND_SIDE, _BAND_SIDE + len(taps) - 1), np.float32)
    for row in range(_BAND_SIDE):
        band[row, row : row + len(taps)] = taps
    return band


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2x2 samples; an odd side begins with its first sample twice."""
    if plane.shape[0] % 2 or plane.shape[1] % 2:
        plane = np.pad(plane, ((plane.shape[0] % 2, 0), (plane.shape[1] % 2, 0)), mode="edge")
    rows = plane[0::2] + plane[1::2]
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25))


def _check_pair(first: Pixels, second: Pixels) -> None:
    if first.shape != second.shape:
        raise ValueError(f"pictures must be of one shape, got {first.shape} and {second.shape}")
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        raise ValueError(f"pictures must be of 8 bits, got {first.dtype} and {second.dtype}")
    if first.ndim != 2 and not (first.ndim == 3 and first.shape[2] == 3):
        raise ValueError(f"pictures must be [H, W] or [H, W, 3], got {first.shape}")


def _check_side(pixels: Pixels, least: int) -> None:
    side = min(pixels.shape[:2])
    if side < least:
        raise ValueError(f"both sides must be at least {least} pixels, got {side}")


# Products so small that OpenBLAS does each in the calling thread: its own threads wait for one another by
# spinning, which costs twenty times the work on a busy machine.
_BAND_SIDE: Final = 16
_CHUNK: Final = 512
_WINDOW_BAND: Final = _banded(_gaussian_taps(_WINDOW_SIDE // 2, _SIGMA))
_DRIFT_TAPS: Final = _gaussian_taps(round(4 * _DRIFT_SIGMA), _DRIFT_SIGMA)
_DRIFT_BAND: Final = _banded(_DRIFT_TAPS)
