"""Search for the stream that meets a target: a size, a rate, a PSNR or an MS-SSIM."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from virtual_codec.bitstream import SEGMENT_BYTES
from virtual_codec.codec.bracketing import solve_by_false_position
from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.estimate import Estimator
from virtual_codec.codec.mode_decision import candidate_points
from virtual_codec.codec.operating import (
    COARSEST_STEP,
    DB_PER_LOG_STEP,
    FINEST_STEP,
    LOG_BYTES_PER_LOG_STEP,
    Mode,
    OperatingPoint,
    OperatingTable,
)
from virtual_codec.codec.refine import descent_trials
from virtual_codec.codec.starting_quality import starting_quality
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.errors import UnreachableTarget
from virtual_codec.jobs import CompressOptions
from virtual_codec.metrics import ms_ssim, similarity_db

_LOG_STEPS: Final = (math.log(FINEST_STEP), math.log(COARSEST_STEP))
_SIZE_TOLERANCE_LOG_BYTES: Final = 0.004  # tolerance of a size
# Factor on the cost within which the whole image may rank modes differently from the probe.
_PROBE_COST_TOLERANCE: Final = 1.02
_TOLERANCE_DB: Final = 0.02  # tolerance of a PSNR or MS-SSIM


def trial_at_target(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """Trial that meets the target of `options`, whose `target` is not None. Raises `UnreachableTarget`."""
    if options.max_bytes is not None:
        return _best_trial_within_bytes(trials, table, options, options.max_bytes)
    if options.max_bpp is not None:
        return _best_trial_within_rate(trials, table, options, options.max_bpp)
    if options.min_psnr is not None:
        return _smallest_trial_reaching(
            trials, table, options, options.min_psnr, lambda trial: trial.psnr_db, lambda value: value
        )
    assert options.min_ms_ssim is not None
    return _smallest_trial_reaching(
        trials, table, options, options.min_ms_ssim, lambda trial: ms_ssim(trial.restored, trials.pixels), _ms_ssim_db
    )


def _best_trial_within_bytes(trials: Trials, table: OperatingTable, options: CompressOptions, most: int) -> Trial:
    """Best trial within `most` bytes. Raises `UnreachableTarget` with the smallest possible size."""
    effort = EFFORTS[options.effort]
    smallest = math.inf

    def search_mode(mode: Mode, first: float) -> Trial | None:
        nonlocal smallest

        def encode_at(log_step: float) -> tuple[float, tuple[JpegSettings, bytes]]:
            settings = trials.settings(mode, math.exp(-log_step))
            stream = trials.encode(mode, settings, optimise=effort.optimises_scans)
            return -math.log(len(stream) + SEGMENT_BYTES), (settings, stream)

        found, value = solve_by_false_position(
            encode_at,
            target=-math.log(most),
            low=-_LOG_STEPS[1],
            high=-_LOG_STEPS[0],
            first=-math.log(first),
            slope=LOG_BYTES_PER_LOG_STEP,
            tolerance=_SIZE_TOLERANCE_LOG_BYTES,
            key=lambda log_step: _tables_key(trials.settings(mode, math.exp(-log_step))),
        )
        smallest = min(smallest, round(math.exp(-value)))
        return trials.measure(mode, *found) if found else None

    best = _best_of_modes(trials, table, options, search_mode, lambda trial: trial.squared_error)
    if best is None:
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest:.0f} bytes",
            limit=most,
            actual=smallest,
        )
    aim = math.log(most) - _SIZE_TOLERANCE_LOG_BYTES / 2
    for trial in descent_trials(
        trials,
        table,
        best,
        effort,
        lambda trial: (aim - math.log(trial.size_bytes)) / LOG_BYTES_PER_LOG_STEP,
        optimise=effort.optimises_scans,
    ):
        if trial.size_bytes <= most and trial.squared_error < best.squared_error:
            best = trial
    return best


def _best_trial_within_rate(trials: Trials, table: OperatingTable, options: CompressOptions, most_bpp: float) -> Trial:
    height, width = trials.pixels.shape[:2]
    try:
        return _best_trial_within_bytes(
            trials, table, options, max(1, math.floor(most_bpp * height * width / 8 + 1e-6))
        )
    except UnreachableTarget as error:
        smallest = _rounded_up(8 * (error.actual or 0) / (height * width))
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest} bits per pixel",
            limit=most_bpp,
            actual=smallest,
        ) from error


def _smallest_trial_reaching(
    trials: Trials,
    table: OperatingTable,
    options: CompressOptions,
    least: float,
    measure: Callable[[Trial], float],
    decibels: Callable[[float], float],
) -> Trial:
    """Smallest trial whose `measure` of the restored image is at least `least`.

    `decibels` converts a measure to a scale that is about linear in the logarithm of the step. Raises
    `UnreachableTarget` with the best possible value.
    """
    nearest = -math.inf

    def search_mode(mode: Mode, first: float) -> Trial | None:
        nonlocal nearest
        values: list[float] = []

        def measure_at(log_step: float) -> tuple[float, Trial]:
            trial = trials.measure(mode, trials.settings(mode, math.exp(log_step)))
            values.append(measure(trial))
            return decibels(values[-1]), trial

        found, _ = solve_by_false_position(
            measure_at,
            target=decibels(least),
            low=_LOG_STEPS[0],
            high=_LOG_STEPS[1],
            first=math.log(first),
            slope=DB_PER_LOG_STEP,
            tolerance=_TOLERANCE_DB,
            key=lambda log_step: _tables_key(trials.settings(mode, math.exp(log_step))),
        )
        nearest = max(nearest, values[-1])  # that of the finest step if the target is out of reach
        return found

    best = _best_of_modes(trials, table, options, search_mode, lambda trial: trial.size_bytes)
    if best is None:
        unit = " dB" if options.min_psnr is not None else ""
        raise UnreachableTarget(
            f"this image cannot be restored that well; the best is {_rounded_down(nearest)}{unit}",
            limit=least,
            actual=_rounded_down(nearest),
        )
    aim_db = decibels(least) + _TOLERANCE_DB / 2
    for trial in descent_trials(
        trials,
        table,
        best,
        EFFORTS[options.effort],
        lambda trial: (aim_db - decibels(measure(trial))) / DB_PER_LOG_STEP,
    ):
        if trial.size_bytes < best.size_bytes and measure(trial) >= least:
            best = trial
    return best


def _best_of_modes(
    trials: Trials,
    table: OperatingTable,
    options: CompressOptions,
    search_mode: Callable[[Mode, float], Trial | None],
    key: Callable[[Trial], float],
) -> Trial | None:
    """Trial of least `key` of those that `search_mode(mode, first step)` returns; None if no mode meets the target.

    The step found in the first mode gives the Lagrange multiplier of the target, and hence the other candidates and
    their first steps. Candidates that clearly cost more on the image's probe are skipped. If no candidate meets the
    target, every mode is tried.
    """
    quality = starting_quality(trials, options)
    estimator, multiplier = Estimator(trials, quality), table.multiplier(quality)
    first = candidate_points(trials.probe, table, options, multiplier)[0]
    best = search_mode(first.mode, first.step)
    if best is not None:
        multiplier = table.multiplier_at(best.mode, best.step)
    tried = {first.mode}
    for all_modes in (False, True):
        for point in candidate_points(trials.probe, table, options, multiplier, all_modes=all_modes):
            if point.mode not in tried:
                tried.add(point.mode)
                if best is None or _is_competitive(trials, point, best, multiplier, estimator):
                    trial = search_mode(point.mode, point.step)
                    if trial is not None and (best is None or key(trial) < key(best)):
                        best = trial
        if best is not None:
            return best
    return None


def _is_competitive(
    trials: Trials, point: OperatingPoint, best: Trial, multiplier: float, estimator: Estimator
) -> bool:
    """True if an operating point is expected, from the probe, to cost at most a little more than `best`."""
    mode, settings = point.mode, trials.settings(point.mode, point.step)
    here, there = (
        estimator.cost(trials.probe.measure(*choice), multiplier, with_factor=False)
        for choice in ((best.mode, best.settings), (mode, settings))
    )
    return there <= _PROBE_COST_TOLERANCE * here


def _tables_key(settings: JpegSettings) -> bytes:
    """Quantisation tables as a key: entries are integers, so close steps give the same stream."""
    return b"".join(table.tobytes() for table in quantisation_tables(settings))


def _ms_ssim_db(similarity: float) -> float:
    """MS-SSIM in decibels, at most 90."""
    return similarity_db(min(similarity, 1 - 1e-9))


def _rounded_down(value: float) -> float:
    """Value rounded down to 4 decimals, so that a request for the value that an error gives succeeds."""
    return math.floor(value * 1e4) / 1e4


def _rounded_up(value: float) -> float:
    return math.ceil(value * 1e4) / 1e4
