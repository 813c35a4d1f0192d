"""The search for the stream: the best mode at a quality, or the stream that meets a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from virtual_codec.bitstream import SEGMENT_BYTES
from virtual_codec.codec.effort import EFFORTS, Effort
from virtual_codec.codec.guess import likely_quality
from virtual_codec.codec.likely import points_to_try
from virtual_codec.codec.operating import COARSEST_STEP, FINEST_STEP, Mode, OperatingTable
from virtual_codec.codec.promise import move_into_promise
from virtual_codec.codec.refine import descended, neighbours
from virtual_codec.codec.solve import largest
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.errors import UnreachableTarget
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions
from virtual_codec.metrics import ms_ssim

_FAR: Final = math.log(1.15)  # a move of the step beyond which another mode may be the best
_LOG_STEPS: Final = (math.log(FINEST_STEP), math.log(COARSEST_STEP))

# What a step twice as large does to size and quality of photographs, for first guesses; and how near a target is met.
_LOG_BYTES_PER_LOG_STEP: Final = -0.8
_DB_PER_LOG_STEP: Final = -3.1
_CLOSE_LOG_BYTES: Final = 0.004
_CLOSE_DB: Final = 0.02

Choice = tuple[Mode, JpegSettings]


def at_quality(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """The trial of least cost at the quality's exchange rate between squared error and bits.

    Where the scale is free, an image whose stream does not keep the quality's promise gets another rate: that of a
    step so much finer or coarser in the mode that was best or, where the way is far, in the mode that is best there.
    """
    quality = options.quality or DEFAULT_QUALITY
    effort = EFFORTS[options.effort]
    worth = table.worth(quality)
    best = _cheapest(trials, _choices(trials, table, options, worth), worth)
    if options.scale is None:
        best, worth = _within_promise(trials, table, options, best, worth)
    if effort.neighbours:
        best = _cheapest(trials, ((best.mode, each) for each in neighbours(best.settings)), worth, best)
    for trial in descended(trials, best, worth, effort):
        best = min(best, trial, key=lambda each: each.cost(worth))
    return best


def at_target(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """The trial that meets the one target that `options` holds, whose `target` is not None."""
    if options.max_bytes is not None:
        return _within_bytes(trials, table, options, options.max_bytes)
    if options.max_bpp is not None:
        return _within_rate(trials, table, options, options.max_bpp)
    if options.min_psnr is not None:
        return _reaching(trials, table, options, options.min_psnr, lambda trial: trial.psnr_db, lambda value: value)
    assert options.min_ms_ssim is not None
    return _reaching(
        trials, table, options, options.min_ms_ssim, lambda trial: ms_ssim(trial.restored, trials.pixels), _decibels
    )


def _within_promise(
    trials: Trials, table: OperatingTable, options: CompressOptions, best: Trial, worth: float
) -> tuple[Trial, float]:
    """`best`, or what replaces it where it does not keep the promise: after at most two moves. And its rate."""
    quality = options.quality or DEFAULT_QUALITY
    move = move_into_promise(trials, quality, best)
    if abs(move) > _FAR:  # another mode may be the best there
        worth *= math.exp(2 * move)  # squared error goes with the square of the step
        best = _cheapest(trials, _choices(trials, table, options, worth), worth)
        move = move_into_promise(trials, quality, best)
    if not move:
        return best, worth
    moved = replace(best.settings, step=_bounded(best.step * math.exp(move)))
    return trials.measure(best.mode, moved), worth * math.exp(2 * move)


def _choices(trials: Trials, table: OperatingTable, options: CompressOptions, worth: float) -> Iterator[Choice]:
    for point in points_to_try(trials, table, options, worth):
        yield point.mode, trials.settings(point.mode, point.step)


def _cheapest(trials: Trials, choices: Iterable[Choice], worth: float, best: Trial | None = None) -> Trial:
    """The trial of least cost, `best` included; only one is held at a time, for each holds a whole image."""
    for mode, settings in choices:
        trial = trials.measure(mode, settings)
        if best is None or trial.cost(worth) < best.cost(worth):
            best = trial
    assert best is not None
    return best


def _within_bytes(trials: Trials, table: OperatingTable, options: CompressOptions, most: int) -> Trial:
    """The best image within `most` bytes. Raises `UnreachableTarget` that says the smallest size there is."""
    effort = EFFORTS[options.effort]
    smallest = math.inf

    def meet(mode: Mode, first: float) -> Trial | None:
        nonlocal smallest

        def coded(place: float) -> tuple[float, tuple[JpegSettings, bytes]]:
            settings = trials.settings(mode, math.exp(-place))
            stream = trials.encode(mode, settings, polish=effort.polish)
            return -math.log(len(stream) + SEGMENT_BYTES), (settings, stream)

        found, value = largest(
            coded,
            wanted=-math.log(most),
            low=-_LOG_STEPS[1],
            high=-_LOG_STEPS[0],
            first=-math.log(first),
            slope=_LOG_BYTES_PER_LOG_STEP,
            tolerance=_CLOSE_LOG_BYTES,
            key=lambda place: _tables(trials.settings(mode, math.exp(-place))),
        )
        smallest = min(smallest, round(math.exp(-value)))
        return trials.measure(mode, *found) if found else None

    best = _best_of_modes(trials, table, options, meet, lambda trial: trial.squared_error)
    if best is None:
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest:.0f} bytes",
            limit=most,
            actual=smallest,
        )
    for trial in _coarser_and_descended(trials, table, best, effort):
        if trial.size_bytes <= most and trial.squared_error < best.squared_error:
            best = trial
    return best


def _within_rate(trials: Trials, table: OperatingTable, options: CompressOptions, most_bpp: float) -> Trial:
    height, width = trials.pixels.shape[:2]
    try:
        return _within_bytes(trials, table, options, max(1, math.floor(most_bpp * height * width / 8 + 1e-6)))
    except UnreachableTarget as error:
        smallest = _ceiling(8 * (error.actual or 0) / (height * width))
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest} bits per pixel",
            limit=most_bpp,
            actual=smallest,
        ) from error


def _reaching(
    trials: Trials,
    table: OperatingTable,
    options: CompressOptions,
    least: float,
    measure: Callable[[Trial], float],
    decibels: Callable[[float], float],
) -> Trial:
    """The smallest stream whose `measure` is at least `least`, each measured on its restored image.

    `decibels` brings a measure to a scale that is about linear in the logarithm of the step. Raises
    `UnreachableTarget` that says the best value there is.
    """
    nearest = -math.inf

    def meet(mode: Mode, first: float) -> Trial | None:
        nonlocal nearest
        values: list[float] = []

        def measured(place: float) -> tuple[float, Trial]:
            trial = trials.measure(mode, trials.settings(mode, math.exp(place)))
            values.append(measure(trial))
            return decibels(values[-1]), trial

        found, _ = largest(
            measured,
            wanted=decibels(least),
            low=_LOG_STEPS[0],
            high=_LOG_STEPS[1],
            first=math.log(first),
            slope=_DB_PER_LOG_STEP,
            tolerance=_CLOSE_DB,
            key=lambda place: _tables(trials.settings(mode, math.exp(place))),
        )
        nearest = max(nearest, values[-1])  # at the finest step, where every search for too much ends: it can be had
        return found

    best = _best_of_modes(trials, table, options, meet, lambda trial: trial.size_bytes)
    if best is None:
        unit = " dB" if options.min_psnr is not None else ""
        raise UnreachableTarget(
            f"this image cannot be restored that well; the best is {_floor(nearest)}{unit}",
            limit=least,
            actual=_floor(nearest),
        )
    for trial in _coarser_and_descended(trials, table, best, EFFORTS[options.effort]):
        if trial.size_bytes < best.size_bytes and measure(trial) >= least:
            best = trial
    return best


def _best_of_modes(
    trials: Trials,
    table: OperatingTable,
    options: CompressOptions,
    meet: Callable[[Mode, float], Trial | None],
    key: Callable[[Trial], float],
) -> Trial | None:
    """The best trial by `key` of those that `meet(mode, first step)` the target; None where no mode does.

    What the first mode finds tells at which exchange rate the target lies, and so where to begin with the others and
    which of them are worth it. Where the likely ones fail, every mode is tried.
    """
    worth = table.worth(likely_quality(trials, options))
    first = points_to_try(trials, table, options, worth)[0]
    best = meet(first.mode, first.step)
    if best is not None:
        worth = table.worth_at(best.mode, best.step)
    tried = {first.mode}
    for all_modes in (False, True):
        for point in points_to_try(trials, table, options, worth, all_modes=all_modes):
            if point.mode not in tried:
                tried.add(point.mode)
                trial = meet(point.mode, point.step)
                if trial is not None and (best is None or key(trial) < key(best)):
                    best = trial
        if best is not None:
            return best
    return None


def _coarser_and_descended(trials: Trials, table: OperatingTable, best: Trial, effort: Effort) -> Iterator[Trial]:
    """What the gradient makes of a coarser stream, which its gain shall bring back to the target."""
    if effort.rounds:
        coarser = replace(best.settings, step=_bounded(best.step * effort.coarser))
        start = trials.measure(best.mode, coarser)
        yield from descended(trials, start, table.worth_at(best.mode, best.step), effort, polish=effort.polish)


def _tables(settings: JpegSettings) -> bytes:
    """What of a step makes a stream: entries are whole numbers, so that steps near each other make the same."""
    return b"".join(table.tobytes() for table in quantisation_tables(settings))


def _bounded(step: float) -> float:
    return min(COARSEST_STEP, max(FINEST_STEP, step))


def _decibels(similarity: float) -> float:
    """A similarity of at most 1 as decibels of its distance from 1."""
    return -10 * math.log10(max(1e-9, 1 - similarity))


def _floor(value: float) -> float:
    """To 4 decimals, so that asking for what an error says succeeds."""
    return math.floor(value * 1e4) / 1e4


def _ceiling(value: float) -> float:
    return math.ceil(value * 1e4) / 1e4
