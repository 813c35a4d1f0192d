"""Search for the stream of a quality: mode decision by Lagrangian cost, promise of the quality, refinement.

Candidates are compared on the image's probe. The whole image is coded and restored once, and again only if its stream
misses the promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from virtual_codec.codec.effort import EFFORTS, Effort
from virtual_codec.codec.estimate import Estimator, Outcome, outcome_of
from virtual_codec.codec.mode_decision import candidate_points
from virtual_codec.codec.operating import (
    DB_PER_LOG_STEP,
    Mode,
    OperatingTable,
    bounded_step,
)
from virtual_codec.codec.promise import Promise, Slopes, promise_of
from virtual_codec.codec.refine import damped, descent_trials, neighbours
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import JpegSettings
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions

_MAX_SAME_MODE_CORRECTION: Final = math.log(1.15)  # log correction of the step beyond which another mode may be best
_MAX_PROBE_ERROR_DB: Final = 0.5  # largest difference in PSNR between an image and the estimate from its probe
_PROBE_UNCERTAINTY: Final = 0.05  # uncertainty of a shortfall that was estimated on the probe, in log bytes
_PSNR_MARGIN_DB: Final = 0.01  # margin above a PSNR that must be reached
_MAX_CORRECTIONS: Final = 3  # most corrections of a stream's step in one mode

Choice = tuple[Mode, JpegSettings]


def trial_at_quality(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """Trial of least cost at the quality's Lagrange multiplier.

    Unless the options name a scale, the search goes on until the promise of the quality is kept or all corrections are
    used up. Higher efforts then look for a smaller stream whose restored image has the same PSNR.
    """
    quality = options.quality or DEFAULT_QUALITY
    effort = EFFORTS[options.effort]
    estimator = Estimator(trials, quality)
    promise = promise_of(trials, quality) if options.scale is None else None
    on_probe = _cheapest_trial(trials.probe, table, options, table.multiplier(quality), estimator)
    if promise is None:
        best = _whole_image_trial(trials, on_probe)
    else:
        if effort.optimises_scans:
            promise = promise.before_optimisation(trials.probe.optimised_share(on_probe.coded))
        best = _trial_within_promise(trials, table, options, promise, on_probe)
    return _refined_trial(trials, table, best, effort)


def _trial_within_promise(
    trials: Trials, table: OperatingTable, options: CompressOptions, promise: Promise, cheapest: Trial
) -> Trial:
    """Trial that keeps the promise, or the nearest to it; `cheapest` is the cheapest trial of the probe.

    Mode and step are chosen on the probe. The step of the image's stream is then corrected. If that is not enough,
    another mode is tried for which the probe predicts a better result. If the probe's estimate is wrong by more than
    `_MAX_PROBE_ERROR_DB`, the image becomes its own probe.
    """
    quality = options.quality or DEFAULT_QUALITY
    estimator = Estimator(trials, quality)
    first, *others = _probe_trials(trials.probe, table, options, promise, estimator, cheapest)
    best = _whole_image_trial(trials, first)
    missed_db = abs(estimator.outcome(first).psnr_db - outcome_of(best).psnr_db)
    if trials.probe is not trials and missed_db > _MAX_PROBE_ERROR_DB:
        trials.probe = trials
        cheapest = _cheapest_trial(trials, table, options, table.multiplier(quality), Estimator(trials, quality))
        return _trial_within_promise(trials, table, options, promise, cheapest)
    best = _corrected_trial(trials, promise, best, outcome_of)
    for choice in others:
        if promise.is_kept(outcome_of(best)):
            break
        if promise.shortfall(estimator.outcome(choice)) < promise.shortfall(outcome_of(best)) + _PROBE_UNCERTAINTY:
            other = _corrected_trial(trials, promise, _whole_image_trial(trials, choice), outcome_of)
            best = min(best, other, key=lambda each: promise.shortfall(outcome_of(each)))
    return best


def _probe_trials(
    probe: Trials,
    table: OperatingTable,
    options: CompressOptions,
    promise: Promise,
    estimator: Estimator,
    best: Trial,
) -> list[Trial]:
    """Trials of the probe that come near to the promise, at most one for each mode, the best first.

    The first is `best`, the cheapest one, with a corrected step. Those of the other modes follow only if the first is
    expected to miss the promise.
    """
    multiplier = table.multiplier(options.quality or DEFAULT_QUALITY)
    correction = promise.log_step_correction(estimator.outcome(best))
    if abs(correction) > _MAX_SAME_MODE_CORRECTION:  # another mode may be best at that step
        multiplier *= math.exp(2 * correction)  # squared error goes with the square of the step
        best = _cheapest_trial(probe, table, options, multiplier, estimator)
    best = _corrected_trial(probe, promise, best, estimator.outcome)
    if promise.is_kept(estimator.outcome(best)):
        return [best]
    others = [
        _corrected_trial(probe, promise, probe.measure(mode, settings), estimator.outcome)
        for mode, settings in _candidate_settings(probe, table, options, multiplier, all_modes=True)
        if mode != best.mode
    ]
    return sorted((best, *others), key=lambda each: promise.shortfall(estimator.outcome(each)))


def _corrected_trial(trials: Trials, promise: Promise, trial: Trial, outcome: Callable[[Trial], Outcome]) -> Trial:
    """Trial nearest to the promise of `trial` and up to three at corrected steps, in the same mode.

    The first correction uses the slopes of photographs, later ones those measured between the image's last two trials.
    """
    best, move = trial, 0.0
    slopes: Slopes | None = None
    for _ in range(_MAX_CORRECTIONS):
        before = outcome(trial)
        move = damped(promise.log_step_correction(before, slopes), move)
        settings = _with_moved_step(trial.settings, move)
        if settings == trial.settings:
            break
        log_step = math.log(settings.step / trial.settings.step)
        trial = trials.measure(trial.mode, settings)
        slopes = Slopes.between(before, outcome(trial), log_step)
        best = min(best, trial, key=lambda each: promise.shortfall(outcome(each)))
    return best


def _whole_image_trial(trials: Trials, on_probe: Trial) -> Trial:
    """Trial of the image with the mode and settings of one of its probe."""
    return on_probe if trials.probe is trials else trials.measure(on_probe.mode, on_probe.settings)


def _refined_trial(trials: Trials, table: OperatingTable, best: Trial, effort: Effort) -> Trial:
    """Smallest trial that is restored as well as `best`: other encoder settings, gradient descent."""
    least_db = best.psnr_db
    if effort.neighbours:
        best = _best_neighbour_trial(trials, table, best)
    aim_db = least_db + _PSNR_MARGIN_DB
    for trial in descent_trials(trials, table, best, effort, lambda trial: (aim_db - trial.psnr_db) / DB_PER_LOG_STEP):
        if trial.psnr_db >= least_db and trial.size_bytes < best.size_bytes:
            best = trial
    return best


def _best_neighbour_trial(trials: Trials, table: OperatingTable, best: Trial) -> Trial:
    """Trial with the neighbouring settings that cost least on the probe, if it is smaller and restored as well."""
    multiplier = table.multiplier_at(best.mode, best.step)
    here = trials.probe.measure(best.mode, best.settings)
    near = [trials.probe.measure(best.mode, settings) for settings in neighbours(best.settings)]
    nearest = min((here, *near), key=lambda each: each.cost(multiplier))
    if nearest is here:
        return best
    move = (here.psnr_db + _PSNR_MARGIN_DB - nearest.psnr_db) / DB_PER_LOG_STEP
    trial = trials.measure(best.mode, _with_moved_step(nearest.settings, move))
    return trial if trial.psnr_db >= best.psnr_db and trial.size_bytes < best.size_bytes else best


def _with_moved_step(settings: JpegSettings, log_step: float) -> JpegSettings:
    return replace(settings, step=bounded_step(settings.step * math.exp(log_step))) if log_step else settings


def _candidate_settings(
    trials: Trials, table: OperatingTable, options: CompressOptions, multiplier: float, *, all_modes: bool = False
) -> Iterator[Choice]:
    for point in candidate_points(trials, table, options, multiplier, all_modes=all_modes):
        yield point.mode, trials.settings(point.mode, point.step)


def _cheapest_trial(
    probe: Trials, table: OperatingTable, options: CompressOptions, multiplier: float, estimator: Estimator
) -> Trial:
    """Trial of the probe whose settings are expected to cost least for the image."""
    trials = (
        probe.measure(mode, settings) for mode, settings in _candidate_settings(probe, table, options, multiplier)
    )
    return min(trials, key=lambda trial: estimator.cost(trial, multiplier))
