"""Search for the stream of a quality: mode decision by Lagrangian cost, the quality's promise, refinement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.mode_decision import candidate_points
from virtual_codec.codec.operating import Mode, OperatingTable, bounded_step
from virtual_codec.codec.promise import log_step_correction
from virtual_codec.codec.refine import gradient_descent, neighbours
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import JpegSettings
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions

_FAR: Final = math.log(1.15)  # a correction of the step beyond which another mode may be the best

Choice = tuple[Mode, JpegSettings]


def at_quality(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """Trial of least cost at the quality's Lagrange multiplier.

    Unless the options name a scale, a stream that misses the promise of the quality is replaced by one at a corrected
    step. After a large correction the mode is decided again.
    """
    quality = options.quality or DEFAULT_QUALITY
    effort = EFFORTS[options.effort]
    multiplier = table.multiplier(quality)
    best = _cheapest(trials, _choices(trials, table, options, multiplier), multiplier)
    if options.scale is None:
        best, multiplier = _within_promise(trials, table, options, best, multiplier)
    if effort.neighbours:
        best = _cheapest(trials, ((best.mode, each) for each in neighbours(best.settings)), multiplier, best)
    for trial in gradient_descent(trials, best, multiplier, effort):
        best = min(best, trial, key=lambda each: each.cost(multiplier))
    return best


def _within_promise(
    trials: Trials, table: OperatingTable, options: CompressOptions, best: Trial, multiplier: float
) -> tuple[Trial, float]:
    """Trial that keeps the promise of the quality, after at most two corrections of `best`, and its multiplier."""
    quality = options.quality or DEFAULT_QUALITY
    correction = log_step_correction(trials, quality, best)
    if abs(correction) > _FAR:  # another mode may be the best there
        multiplier *= math.exp(2 * correction)  # squared error goes with the square of the step
        best = _cheapest(trials, _choices(trials, table, options, multiplier), multiplier)
        correction = log_step_correction(trials, quality, best)
    if not correction:
        return best, multiplier
    moved = replace(best.settings, step=bounded_step(best.step * math.exp(correction)))
    return trials.measure(best.mode, moved), multiplier * math.exp(2 * correction)


def _choices(trials: Trials, table: OperatingTable, options: CompressOptions, multiplier: float) -> Iterator[Choice]:
    for point in candidate_points(trials, table, options, multiplier):
        yield point.mode, trials.settings(point.mode, point.step)


def _cheapest(trials: Trials, choices: Iterable[Choice], multiplier: float, best: Trial | None = None) -> Trial:
    """Trial of least cost, `best` included. Only the best is kept: a trial holds a whole image."""
    for mode, settings in choices:
        trial = trials.measure(mode, settings)
        if best is None or trial.cost(multiplier) < best.cost(multiplier):
            best = trial
    assert best is not None
    return best
