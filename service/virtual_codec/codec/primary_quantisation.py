"""Primary quantisation table of a double-compressed JPEG, estimated from its histograms of levels.

The coefficients of a decoded JPEG are multiples of its quantisation steps. If the picture is compressed again on the
same block grid, each level of the second quantiser receives none, one or two of these multiples. The period reveals the
primary step. A picture compressed once has smooth histograms. (J. Lukas and J. Fridrich, "Estimation of primary
quantization matrix in double compressed JPEG images", DFRWS 2003.) The reference histogram, without double compression,
is estimated from the same picture on other block grids. Two such grids are used, because the picture may be a crop of a
JPEG whose grid is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.codecs import ijg_luma_table

Floats = NDArray[np.floating]
Levels = NDArray[np.int32]

MAX_COEFFICIENT: Final = 1024  # greatest magnitude of a coefficient of 8-bit samples

_FREQUENCY_COUNT: Final = 36  # in zig-zag order: nearly all levels above them are 0
_MAX_LEVEL: Final = 60  # largest magnitude of a level that is counted
_MIN_COUNT: Final = 8  # least number of nonzero levels of a frequency that is used
_OUTLIER_SHARE: Final = 0.03  # share of levels with arbitrary values, from clipped or overdrawn blocks
_NOISE_SCALE: Final = 0.23  # scale of the logistic noise that rounding of samples adds to a coefficient (deviation 0.4)

# Detection thresholds. Pictures compressed once, or twice on different grids, hardly ever reach them: see the counts in
# docs/recompressed.md.
_MIN_LOG_LIKELIHOOD: Final = 30.0  # natural logarithm, for libjpeg's table of one quality
_MIN_LOG_LIKELIHOOD_PER_LEVEL: Final = 0.002
_MIN_FREE_LOG_LIKELIHOOD: Final = 300.0  # for independent steps of all frequencies
_MIN_FREE_LOG_LIKELIHOOD_PER_LEVEL: Final = 0.05
_SELECTION_PENALTY: Final = 6.0  # expected log-likelihood gain from taking the best of 508 steps
_MIN_STEP_LOG_LIKELIHOOD: Final = 12.0  # log-likelihood above which a single frequency's step is accepted

# Integer steps, and steps of a picture whose samples were later mapped from 0..255 to 16..235, as in video.
_VIDEO_RANGE_FACTOR: Final = 219 / 255
_INTEGER_STEPS: Final = np.arange(2, 256)
_CANDIDATE_STEPS: Final = np.concatenate([_INTEGER_STEPS, _INTEGER_STEPS * _VIDEO_RANGE_FACTOR])


def primary_steps(levels: Levels, shifted: Sequence[Levels], steps: NDArray[np.int64]) -> Floats | None:
    """Primary steps [64] in zig-zag order, 0 where unknown, or None where no double compression is detected.

    `levels` [blocks, 64] are a stream's quantised levels in zig-zag order, `steps` [64] its quantisation steps.
    `shifted` has the levels of the same picture on shifted block grids, [blocks, 64] each.
    """
    levels = _distinct_blocks(levels)
    shifted = [_distinct_blocks(each) for each in shifted]
    likelihoods = np.zeros((_FREQUENCY_COUNT, len(_CANDIDATE_STEPS)))
    counts = np.zeros(_FREQUENCY_COUNT)
    for index in range(_FREQUENCY_COUNT):
        shares = _expected_shares(int(steps[index]))
        seen, *reference = (_histogram(each[:, index], shares.shape[1]) for each in (levels, *shifted))
        if min(seen.sum(), *(each.sum() for each in reference)) < _MIN_COUNT:
            continue
        counts[index] = seen.sum()
        likelihoods[index] = np.min([_likelihoods(shares, each) @ seen for each in reference], axis=0)
    count = max(1.0, counts.sum())

    best = likelihoods.max(axis=1)
    free = np.maximum(0, best - _SELECTION_PENALTY).sum()
    of_table, table = max(
        ((_table_log_likelihood(likelihoods, counts, each), each) for each in _libjpeg_tables()),
        key=lambda pair: pair[0],
    )
    is_libjpeg_table = of_table > max(_MIN_LOG_LIKELIHOOD, _MIN_LOG_LIKELIHOOD_PER_LEVEL * count)
    if is_libjpeg_table and of_table > 0.8 * free:
        return table.steps
    confident = best > _MIN_STEP_LOG_LIKELIHOOD
    has_free_steps = free > max(_MIN_FREE_LOG_LIKELIHOOD, _MIN_FREE_LOG_LIKELIHOOD_PER_LEVEL * count)
    if has_free_steps and confident.sum() >= max(4, np.count_nonzero(counts) / 3):
        found = np.zeros(64)
        found[:_FREQUENCY_COUNT] = np.where(confident, _CANDIDATE_STEPS[np.argmax(likelihoods, axis=1)], 0)
        return found
    return table.steps if is_libjpeg_table else None


def expected_coefficients(step: int, primary_step: float) -> Floats:
    """Expected primary coefficient of each level from 0 up: [MAX_COEFFICIENT // step + 1]."""
    levels = np.arange(MAX_COEFFICIENT // step + 1)
    low, high = (levels - 0.5) * step, (levels + 0.5) * step
    lines = np.floor((low - 3) / primary_step)[:, None] + np.arange(int((step + 6) / primary_step) + 2)
    positions = lines * primary_step
    shares = _noise_distribution(high[:, None] - positions) - _noise_distribution(low[:, None] - positions)
    known = shares.sum(axis=1)
    outliers = _OUTLIER_SHARE * step / primary_step
    mean = ((shares * positions).sum(axis=1) + outliers * levels * step) / (known + outliers)
    result: Floats = np.clip(mean, low, high)  # rounding of samples may have moved it out of the interval
    result[0] = 0
    return result


def _distinct_blocks(levels: Levels) -> Levels:
    """Distinct blocks: repeated ones, as in a drawing, are not independent evidence."""
    return np.unique(levels[:, :_FREQUENCY_COUNT], axis=0) if len(levels) else levels


def _histogram(levels: Levels, count: int) -> Floats:
    """Counts of the magnitudes from 1 to `count`."""
    return np.bincount(np.minimum(np.abs(levels), count + 1), minlength=count + 2)[1 : count + 1].astype(np.float64)


@lru_cache(maxsize=256)
def _expected_shares(step: int) -> Floats:
    """Number of multiples of each primary step that fall on each level from 1 up: [_CANDIDATE_STEPS, levels]."""
    edges = (np.arange(1, max(2, min(_MAX_LEVEL, MAX_COEFFICIENT // step)) + 2) - 0.5) * step
    below = edges / _CANDIDATE_STEPS[:, None]
    line = np.floor(below)
    offset = (below - line) * _CANDIDATE_STEPS[:, None]
    # Noise may move a coefficient past the nearest multiple on each side.
    passed = line + _noise_distribution(offset) - _noise_distribution(_CANDIDATE_STEPS[:, None] - offset)
    shares: Floats = np.diff(passed, axis=1)
    shares.flags.writeable = False
    return shares


def _likelihoods(shares: Floats, reference: Floats) -> Floats:
    """Log-likelihood ratio of each primary step for one occurrence of each level: [_CANDIDATE_STEPS, levels]."""
    reference = (reference + 1e-3) / (reference + 1e-3).sum()
    result: Floats = np.log(
        (1 - _OUTLIER_SHARE) * shares / np.maximum(shares @ reference, _OUTLIER_SHARE)[:, None] + _OUTLIER_SHARE
    )
    return result


def _noise_distribution(distance: Floats) -> Floats:
    """Cumulative distribution of the rounding noise at `distance`."""
    shares: Floats = 1 / (1 + np.exp(-np.clip(distance / _NOISE_SCALE, -40, 40)))
    return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """Candidate primary table.

    `steps` [64] are 0 where unknown. `rows` [_FREQUENCY_COUNT] are their rows in `_CANDIDATE_STEPS`, -1 for none.
    """

    steps: Floats
    rows: NDArray[np.int64]


@lru_cache(maxsize=1)
def _libjpeg_tables() -> tuple[_Table, ...]:
    """Luma tables of libjpeg for qualities 1 to 99, for the full range and for the range of video."""
    tables = []
    for quality in range(1, 100):
        table = ijg_luma_table(quality)
        rows = np.where(table[:_FREQUENCY_COUNT] > 1, table[:_FREQUENCY_COUNT] - 2, -1)
        tables.append(_Table(steps=table.astype(np.float64), rows=rows))
        scaled, rows = table * _VIDEO_RANGE_FACTOR, np.where(rows >= 0, rows + len(_INTEGER_STEPS), -1)
        scaled[0], rows[0] = 0, -1  # the range mapping shifts the mean too, so the DC step is unknown
        tables.append(_Table(steps=scaled, rows=rows))
    return tuple(tables)


def _table_log_likelihood(likelihoods: Floats, counts: Floats, table: _Table) -> float:
    """Log-likelihood of a candidate table."""
    found = np.where(table.rows < 0, 0, likelihoods[np.arange(_FREQUENCY_COUNT), table.rows])
    return float(np.maximum(found, -counts / 2).sum())
