"""The search for the stream: the best mode at a quality, or the stream that meets a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from service.bitstream import SEGMENT_BYTES
from service.codec.operating import COARSEST_STEP, FINEST_STEP, Mode, OperatingTable
from service.codec.promise import move_into_promise
from service.codec.trial import Trial, Trials
from service.errors import UnreachableTarget
from service.jobs import DEFAULT_QUALITY, CompressOptions
from service.metrics import ms_ssim

_TRIES: Final = 9
_FAR: Final = math.log(1.15)  # a move of the step beyond which another mode may be the best
_REFINEMENTS: Final = {7: (0.88, 1.14), 8: (0.81, 0.9, 1.11, 1.23), 9: (0.76, 0.83, 0.91, 1.1, 1.21, 1.32)}


def at_quality(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """The trial of least cost at the quality's exchange rate between squared error and bits.

    Where the scale is free, an image whose stream does not keep the quality's promise gets another rate: that of a
    step so much finer or coarser in the mode that was best or, where the way is far, in the mode that is best there.
    """
    quality = options.quality or DEFAULT_QUALITY
    worth = table.worth(quality)
    best = _cheapest(trials, _points(trials, table, options, worth), worth)
    if options.scale is None:
        best = _within_promise(trials, table, options, best, worth)
    around = [(best.mode, _bounded(best.step * factor)) for factor in _REFINEMENTS.get(options.effort, ())]
    return _cheapest(trials, around, worth, best)


def _within_promise(
    trials: Trials, table: OperatingTable, options: CompressOptions, best: Trial, worth: float
) -> Trial:
    """`best`, or what replaces it where it does not keep the promise: after at most two moves."""
    quality = options.quality or DEFAULT_QUALITY
    move = move_into_promise(trials, quality, best)
    if abs(move) > _FAR:  # another mode may be the best there
        worth *= math.exp(2 * move)  # squared error goes with the square of the step
        best = _cheapest(trials, _points(trials, table, options, worth), worth)
        move = move_into_promise(trials, quality, best)
    return trials.measure(best.mode, _bounded(best.step * math.exp(move))) if move else best


def _points(trials: Trials, table: OperatingTable, options: CompressOptions, worth: float) -> list[tuple[Mode, float]]:
    points = table.points(worth, effort=options.effort, scale=options.scale, grey=trials.is_grey)
    return [(point.mode, point.step) for point in points]


def _bounded(step: float) -> float:
    return min(COARSEST_STEP, max(FINEST_STEP, step))


def _cheapest(trials: Trials, settings: Iterable[tuple[Mode, float]], worth: float, best: Trial | None = None) -> Trial:
    """The trial of least cost, `best` included; only one is held at a time, for each holds a whole image."""
    for mode, step in settings:
        trial = trials.measure(mode, step)
        if best is None or trial.cost(worth) < best.cost(worth):
            best = trial
    assert best is not None
    return best


def within_bytes(trials: Trials, modes: list[Mode], most: int) -> Trial:
    """The best image within `most` bytes. Raises `UnreachableTarget` that says the smallest size there is."""
    found: list[Trial] = []
    smallest = math.inf
    for mode in modes:
        coded, step = trials.encode(mode, COARSEST_STEP), COARSEST_STEP
        smallest = min(smallest, len(coded) + SEGMENT_BYTES)
        if len(coded) + SEGMENT_BYTES > most:
            continue
        low, high = math.log(FINEST_STEP), math.log(COARSEST_STEP)
        for _ in range(_TRIES):
            middle = (low + high) / 2
            attempt = trials.encode(mode, math.exp(middle))
            if len(attempt) + SEGMENT_BYTES <= most:
                high, coded, step = middle, attempt, math.exp(middle)
            else:
                low = middle
        found.append(trials.measure(mode, step, coded))
    if not found:
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest:.0f} bytes",
            limit=most,
            actual=smallest,
        )
    return min(found, key=lambda trial: trial.squared_error)


def reaching(trials: Trials, modes: list[Mode], least: float, measure: Callable[[Trial], float], unit: str) -> Trial:
    """The smallest stream whose `measure` is at least `least`, each measured on its restored image.

    Raises `UnreachableTarget` that says the best value there is.
    """
    found: list[Trial] = []
    nearest = -math.inf
    for mode in modes:
        finest = trials.measure(mode, FINEST_STEP)
        value = measure(finest)
        nearest = max(nearest, value)
        if value < least:
            continue
        best = finest
        low, high = math.log(FINEST_STEP), math.log(COARSEST_STEP)
        for _ in range(_TRIES):
            trial = trials.measure(mode, math.exp((low + high) / 2))
            if measure(trial) >= least:
                low, best = math.log(trial.step), trial
            else:
                high = math.log(trial.step)
        found.append(best)
    if not found:
        raise UnreachableTarget(
            f"this image cannot be restored that well; the best is {_floor(nearest)}{unit}",
            limit=least,
            actual=_floor(nearest),
        )
    return min(found, key=lambda trial: trial.size_bytes)


def at_target(trials: Trials, table: OperatingTable, options: CompressOptions) -> Trial:
    """The trial that meets the one target that `options` holds, whose `target` is not None."""
    modes = [mode for mode in table.modes if options.scale in (None, mode.scale) and mode.suits(grey=trials.is_grey)]
    if options.max_bytes is not None:
        return within_bytes(trials, modes, options.max_bytes)
    if options.max_bpp is not None:
        return _within_rate(trials, modes, options.max_bpp)
    if options.min_psnr is not None:
        return reaching(trials, modes, options.min_psnr, lambda trial: trial.psnr_db, " dB")
    assert options.min_ms_ssim is not None
    return reaching(trials, modes, options.min_ms_ssim, lambda trial: ms_ssim(trial.restored, trials.pixels), "")


def _within_rate(trials: Trials, modes: list[Mode], most_bpp: float) -> Trial:
    height, width = trials.pixels.shape[:2]
    try:
        return within_bytes(trials, modes, math.floor(most_bpp * height * width / 8 + 1e-6))
    except UnreachableTarget as error:
        smallest = _ceiling(8 * (error.actual or 0) / (height * width))
        raise UnreachableTarget(
            f"no stream of this image is that small; the smallest has {smallest} bits per pixel",
            limit=most_bpp,
            actual=smallest,
        ) from error


def _floor(value: float) -> float:
    """To 4 decimals, so that asking for what an error says succeeds."""
    return math.floor(value * 1e4) / 1e4


def _ceiling(value: float) -> float:
    return math.ceil(value * 1e4) / 1e4
