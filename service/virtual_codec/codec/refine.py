"""Refinement of a good trial: neighbouring encoder settings, and gradient descent on the description."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from virtual_codec.codec.effort import Effort
from virtual_codec.codec.model import as_colour
from virtual_codec.codec.operating import OperatingTable, bounded_step
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.networks.differentiable import smooth_jpeg

# A finer table with a stricter trellis and the reverse, and more or fewer bits for chroma and for high frequencies.
_NEIGHBOURS: Final[tuple[dict[str, float], ...]] = (
    {"step": 0.9, "trellis": 1.35},
    {"step": 1.11, "trellis": 0.75},
    {"chroma_ratio": 0.85},
    {"chroma_ratio": 1.18},
    {"luma_exponent": 2.0},
    {"masking": 0.5},
)

_RATE_WEIGHT: Final = (
    1.3  # the smooth rate misses what the trellis zeroes; 1.3 measured better than 1 and as good as 1.5
)
_MOMENT_DECAY: Final = (0.8, 0.95)  # of the gradient's running mean and mean square
_USUAL_STEP: Final = 40.0  # finer tables want shorter strides
_MOST_KEPT: Final = 200_000_000  # bytes of a description that is kept beside the one that moves
_BAND: Final = 256  # rows
_WINDOW: Final = 2048  # columns whose codec is differentiated at once, in 150 MB


def neighbours(settings: JpegSettings) -> Iterator[JpegSettings]:
    """Settings near the given ones, each with one change."""
    for factors in _NEIGHBOURS:
        yield replace(settings, **{name: getattr(settings, name) * factor for name, factor in factors.items()})


def gradient_descent(
    trials: Trials,
    trial: Trial,
    description: NDArray[np.float32],
    multiplier: float,
    effort: Effort,
    *,
    polish: bool = False,
) -> Iterator[Trial]:
    """Trials of a description moved down the gradient of squared error plus `multiplier` times bits, one a round.

    `description`, whose stream `trial` is, is moved in place. The forward pass is the real codec, the backward pass a
    smooth model of it. A round takes about the time of three restorations. The cost does not fall in every round, so
    the caller chooses among the trials. The iteration ends at a stream that is shown as decoded, for which there is no
    gradient.
    """
    mode, settings = trial.mode, trial.settings
    mean, square = np.zeros_like(description), 0.0
    stride = effort.stride * min(1.0, (settings.step * mode.scale / _USUAL_STEP) ** 0.5)
    for step in range(1, effort.rounds + 1):
        if trial.header.show_decoded:
            return
        gradient = trials.error_gradient(mode, settings, trials.decode(trial.coded))
        gradient /= 3
        _through_codec(trials, description, gradient, settings, multiplier * 8 * trial.size_bytes * _RATE_WEIGHT)
        square += (1 - _MOMENT_DECAY[1]) * (_mean_square(gradient) - square)
        gradient -= mean
        gradient *= 1 - _MOMENT_DECAY[0]
        mean += gradient
        typical = (square / (1 - _MOMENT_DECAY[1] ** step)) ** 0.5 * (1 - _MOMENT_DECAY[0] ** step)
        np.multiply(mean, stride / max(typical, 1e-12), out=gradient)
        description -= gradient
        del gradient  # 600 MB of the largest images, while the next stream is made
        np.clip(description, 0, 255, out=description)
        trial = trials.measure(mode, settings, trials.encode(mode, settings, description, polish=polish))
        yield trial


def descended(
    trials: Trials,
    table: OperatingTable,
    best: Trial,
    effort: Effort,
    log_step_move: Callable[[Trial], float],
    *,
    polish: bool = False,
) -> Iterator[Trial]:
    """Trials of gradient descent from a coarser step than that of `best`, and two that bring the cheapest to a goal.

    `log_step_move` is the change of the log step with which a trial would meet the goal that `best` meets. Of a very
    large image the last description takes the place of the cheapest.
    """
    if not effort.rounds or best.header.show_decoded:
        return
    mode, multiplier = best.mode, table.multiplier_at(best.mode, best.step)
    settings = replace(best.settings, step=bounded_step(best.step * effort.coarser))
    description = trials.describe(mode, settings).astype(np.float32)
    first = trials.measure(mode, settings, trials.encode(mode, settings, description, polish=polish))
    cheapest, kept = first, description
    for trial in gradient_descent(trials, first, description, multiplier, effort, polish=polish):
        yield trial
        if description.nbytes > _MOST_KEPT:
            cheapest = trial
        elif trial.cost(multiplier) < cheapest.cost(multiplier):
            cheapest, kept = trial, description.copy()
    if cheapest is first:
        return
    for _ in range(2):
        moved = replace(settings, step=bounded_step(cheapest.step * math.exp(log_step_move(cheapest))))
        cheapest = trials.measure(mode, moved, trials.encode(mode, moved, kept, polish=polish))
        yield cheapest


def _through_codec(
    trials: Trials,
    description: NDArray[np.float32],
    gradient: NDArray[np.float32],
    settings: JpegSettings,
    rate_cost: float,
) -> None:
    """Backpropagate `gradient`, by the decoded picture, to the description, in place, and add the rate's gradient.

    `rate_cost` is the cost of all bits of the stream; the smooth rate only distributes it. The picture is processed in
    windows, so memory does not grow with it.
    """
    height, width = description.shape[:2]
    tables = torch.from_numpy(np.stack(quantisation_tables(settings))).float()[None]
    by_rate = np.empty_like(gradient)
    total_rate = 0.0
    for top in range(0, height, _BAND):
        for left in range(0, width, _WINDOW):
            window = (slice(top, top + _BAND), slice(left, left + _WINDOW))
            with trials.stage("device"), torch.enable_grad():
                levels = (_padded_input(description[window]) / 255).requires_grad_()
                decoded, rate = smooth_jpeg(levels, tables, subsampled=settings.subsampling == "420")
                error = (decoded * _padded_input(gradient[window])).sum()
                (error_share,) = torch.autograd.grad(error, levels, retain_graph=True)
                (rate_share,) = torch.autograd.grad(rate.sum(), levels)
            total_rate += rate.sum().item()
            gradient[window] = _cropped_to(error_share, gradient[window])
            by_rate[window] = _cropped_to(rate_share, by_rate[window])
    by_rate *= rate_cost / max(total_rate, 1.0) / 255
    gradient += by_rate


def _mean_square(values: NDArray[np.float32]) -> float:
    return sum(float(np.square(values[top : top + _BAND]).sum()) for top in range(0, len(values), _BAND)) / values.size


def _padded_input(window: NDArray[np.float32]) -> Tensor:
    """Window as a network input: [h, w, 3] or [h, w] -> [1, 3, H, W], edges replicated to whole MCUs.

    Grey becomes three equal channels; the derivative by grey is the sum of theirs.
    """
    padding = [(0, -window.shape[0] % 16), (0, -window.shape[1] % 16), (0, 0)]
    padded = np.pad(window, padding[: window.ndim], mode="edge")
    return torch.from_numpy(as_colour(padded)).permute(2, 0, 1)[None]


def _cropped_to(derivative: Tensor, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Derivative [1, 3, H, W] cropped to the window, and summed over channels if that is grey."""
    kept: NDArray[np.float32] = derivative[0].permute(1, 2, 0).numpy()[: window.shape[0], : window.shape[1]]
    return kept if window.ndim == 3 else kept.sum(axis=2)
