"""With which steps a JPEG's picture had been quantised once before, by the levels that are missing.

A picture that comes out of a JPEG has coefficients on the grid of that file's steps. Compressed again on the same
blocks, it keeps that grid: some levels get two of its lines, some one, some none, with a period that tells the first
step. One that never was a JPEG has smooth histograms. (J. Lukas and J. Fridrich, "Estimation of primary quantization
matrix in double compressed JPEG images", DFRWS 2003.) What the histogram would be without that grid is seen on the
same picture cut into other blocks: in two ways, as one of them may lie on the grid of a JPEG of which this is a crop.
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

LARGEST: Final = 1024  # of a coefficient of 8-bit samples

_FREQUENCIES: Final = 36  # in zig-zag order: above them there is hardly anything that is not 0
_MOST_LEVELS: Final = 60  # of a frequency that are looked at
_LEAST_LEVELS: Final = 8  # of a frequency, other than 0, below which it has nothing to say
_STRAY: Final = 0.03  # of the levels may lie anywhere: of blocks that were clipped, or drawn upon
_SPREAD: Final = 0.23  # of the logistic noise that rounding to samples adds to a coefficient: a deviation of 0.4

# What pictures hardly ever reach that were compressed once, or twice on different grids: docs/recompressed.md counts.
_LIKELIHOOD: Final = 30.0  # natural logarithm, of libjpeg's tables of one quality
_LIKELIHOOD_A_LEVEL: Final = 0.002
_FREE_LIKELIHOOD: Final = 300.0  # of any steps, each frequency's own
_FREE_LIKELIHOOD_A_LEVEL: Final = 0.05
_CHOICE: Final = 6.0  # what having chosen the likeliest of 508 steps is worth
_CERTAIN: Final = 12.0  # from which on one frequency's own step is believed

# Whole steps, and those of a picture whose samples were then squeezed from 0..255 to 16..235, as video has them.
_VIDEO: Final = 219 / 255
_WHOLE: Final = np.arange(2, 256)
_STEPS: Final = np.concatenate([_WHOLE, _WHOLE * _VIDEO])


def first_steps(levels: Levels, elsewhere: Sequence[Levels], steps: NDArray[np.int64]) -> Floats | None:
    """The first steps [64] in zig-zag order, 0 where unknown; None where nothing tells of any.

    `levels` [blocks, 64] are a stream's, in zig-zag order, `steps` [64] what they are multiples of; `elsewhere` are
    those that other blocks of the picture would have, off the grid, cut in each of several ways.
    """
    levels = _different(levels)
    elsewhere = [_different(each) for each in elsewhere]
    likelihoods = np.zeros((_FREQUENCIES, len(_STEPS)))
    counts = np.zeros(_FREQUENCIES)
    for place in range(_FREQUENCIES):
        shares = _expected_shares(int(steps[place]))
        seen, *usual = (_histogram(each[:, place], shares.shape[1]) for each in (levels, *elsewhere))
        if min(seen.sum(), *(each.sum() for each in usual)) < _LEAST_LEVELS:
            continue
        counts[place] = seen.sum()
        likelihoods[place] = np.min([_likelihoods(shares, each) @ seen for each in usual], axis=0)
    count = max(1.0, counts.sum())

    best = likelihoods.max(axis=1)
    free = np.maximum(0, best - _CHOICE).sum()
    of_table, table = max(((_of_table(likelihoods, counts, each), each) for each in _tables()), key=lambda it: it[0])
    is_usual = of_table > max(_LIKELIHOOD, _LIKELIHOOD_A_LEVEL * count)
    if is_usual and of_table > 0.8 * free:
        return table.steps
    certain = best > _CERTAIN
    is_any = free > max(_FREE_LIKELIHOOD, _FREE_LIKELIHOOD_A_LEVEL * count)
    if is_any and certain.sum() >= max(4, np.count_nonzero(counts) / 3):
        found = np.zeros(64)
        found[:_FREQUENCIES] = np.where(certain, _STEPS[np.argmax(likelihoods, axis=1)], 0)
        return found
    return table.steps if is_usual else None


def expected_coefficients(step: int, first_step: float) -> Floats:
    """What a coefficient was on its first grid, by its level now: [LARGEST // step + 1], for levels 0 and up."""
    levels = np.arange(LARGEST // step + 1)
    low, high = (levels - 0.5) * step, (levels + 0.5) * step
    lines = np.floor((low - 3) / first_step)[:, None] + np.arange(int((step + 6) / first_step) + 2)
    places = lines * first_step
    shares = _below(high[:, None] - places) - _below(low[:, None] - places)
    known = shares.sum(axis=1)
    stray = _STRAY * step / first_step
    mean = ((shares * places).sum(axis=1) + stray * levels * step) / (known + stray)
    result: Floats = np.clip(mean, low, high)  # rounding to samples may have led it across the edge
    result[0] = 0
    return result


def _different(levels: Levels) -> Levels:
    """Each block once: what repeats itself, as a drawing does, says nothing new."""
    return np.unique(levels[:, :_FREQUENCIES], axis=0) if len(levels) else levels


def _histogram(levels: Levels, count: int) -> Floats:
    """How often each magnitude from 1 to `count` occurs."""
    return np.bincount(np.minimum(np.abs(levels), count + 1), minlength=count + 2)[1 : count + 1].astype(np.float64)


@lru_cache(maxsize=256)
def _expected_shares(step: int) -> Floats:
    """How many lines of each first grid fall on each level from 1 up: [_STEPS, levels]."""
    edges = (np.arange(1, max(2, min(_MOST_LEVELS, LARGEST // step)) + 2) - 0.5) * step
    below = edges / _STEPS[:, None]
    line = np.floor(below)
    offset = (below - line) * _STEPS[:, None]
    passed = line + _below(offset) - _below(_STEPS[:, None] - offset)  # the nearest line on each side may be passed
    shares: Floats = np.diff(passed, axis=1)
    shares.flags.writeable = False
    return shares


def _likelihoods(shares: Floats, usual: Floats) -> Floats:
    """What one occurrence of each level says for each first step: logarithms [_STEPS, levels]."""
    usual = (usual + 1e-3) / (usual + 1e-3).sum()
    result: Floats = np.log((1 - _STRAY) * shares / np.maximum(shares @ usual, _STRAY)[:, None] + _STRAY)
    return result


def _below(distance: Floats) -> Floats:
    """The share of noise that is less than `distance`."""
    shares: Floats = 1 / (1 + np.exp(-np.clip(distance / _SPREAD, -40, 40)))
    return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """First steps [64], 0 where unknown, and the rows of `_STEPS` [_FREQUENCIES] that hold them, -1 where none does."""

    steps: Floats
    rows: NDArray[np.int64]


@lru_cache(maxsize=1)
def _tables() -> tuple[_Table, ...]:
    """Libjpeg's luma tables of qualities 1 to 99, whole and as video has them."""
    tables = []
    for quality in range(1, 100):
        table = ijg_luma_table(quality)
        rows = np.where(table[:_FREQUENCIES] > 1, table[:_FREQUENCIES] - 2, -1)
        tables.append(_Table(steps=table.astype(np.float64), rows=rows))
        squeezed, rows = table * _VIDEO, np.where(rows >= 0, rows + len(_WHOLE), -1)
        squeezed[0], rows[0] = 0, -1  # the mean was moved too
        tables.append(_Table(steps=squeezed, rows=rows))
    return tuple(tables)


def _of_table(likelihoods: Floats, counts: Floats, table: _Table) -> float:
    found = np.where(table.rows < 0, 0, likelihoods[np.arange(_FREQUENCIES), table.rows])
    return float(np.maximum(found, -counts / 2).sum())
