"""Refinement of a good trial: neighbouring encoder settings, and gradient descent on the description."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
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
from virtual_codec.codecs import DEFAULT_TRELLIS, JpegSettings, quantisation_tables
from virtual_codec.networks.differentiable import smooth_jpeg

# A finer table with a stricter trellis and vice versa, and more or fewer bits for chroma and for high frequencies.
_NEIGHBOURS: Final[tuple[dict[str, float], ...]] = (
    {"step": 0.9, "trellis": 1.35},
    {"step": 1.11, "trellis": 0.75},
    {"chroma_ratio": 0.85},
    {"chroma_ratio": 1.18},
    {"luma_exponent": 2.0},
    {"masking": 0.5},
)

# The smooth rate ignores that the trellis sets coefficients to zero. A weight of 1.3 was better than 1, as good as 1.5.
_RATE_WEIGHT: Final = 1.3
_MOMENT_DECAY: Final = (0.8, 0.95)  # decay of the running means of the gradient and of its square
_REFERENCE_STEP: Final = 40.0  # step for which strides are stated; finer tables need shorter ones
_MAX_KEPT_BYTES: Final = 200_000_000  # largest description, in bytes, of which a copy is kept during the descent
_STEP_INCREASE: Final = 1.06  # ratio of a descent's step to that of the stream that it starts from
# Share of each correction towards the goal that is applied, so that rounds do not oscillate.
_CORRECTION_SHARE: Final = 0.5
_TRELLIS_PER_STEP: Final = 3.0  # change of the trellis's log multiplier equivalent to a log step change of 1
_TRELLIS_RANGE: Final = (0.5, 2.0)  # bounds on the trellis's multiplier, relative to the default
_MAX_COST_INCREASE: Final = 1.01  # a round whose cost exceeds the least so far by this factor is undone
_WINDOW_ROWS: Final = 256
_WINDOW_COLUMNS: Final = 2048  # a window of this size is differentiated in 150 MB


def neighbours(settings: JpegSettings) -> Iterator[JpegSettings]:
    """Settings near the given ones, each with one change."""
    for factors in _NEIGHBOURS:
        yield replace(settings, **{name: getattr(settings, name) * factor for name, factor in factors.items()})


def descent_trials(
    trials: Trials,
    table: OperatingTable,
    best: Trial,
    effort: Effort,
    log_step_move: Callable[[Trial], float],
    *,
    optimise: bool = False,
) -> Iterator[Trial]:
    """Trials of a gradient descent that keeps the goal met by `best`, and two that move the cheapest one to the goal.

    `log_step_move` returns the change of the log step with which a trial would meet the goal. The caller chooses among
    the trials, because the cost does not fall in every round.
    """
    if not effort.rounds or best.header.show_decoded:
        return
    multiplier = table.multiplier_at(best.mode, best.step)
    settings = replace(best.settings, step=bounded_step(best.step * _STEP_INCREASE))
    description = trials.describe(best.mode, best.settings).astype(np.float32)
    first = trials.measure(best.mode, settings, trials.encode(best.mode, settings, description, optimise=optimise))
    cheapest = yield from gradient_descent(
        trials, first, description, multiplier, effort, log_step_move, optimise=optimise
    )
    if cheapest is first:
        return
    move = 0.0
    for _ in range(2):
        move = damped(log_step_move(cheapest), move)
        settings = _corrected_settings(cheapest.settings, move)
        coded = trials.encode(best.mode, settings, description, optimise=optimise)
        cheapest = trials.measure(best.mode, settings, coded)
        yield cheapest


def gradient_descent(
    trials: Trials,
    first: Trial,
    description: NDArray[np.float32],
    multiplier: float,
    effort: Effort,
    log_step_move: Callable[[Trial], float] = lambda _: 0.0,
    *,
    optimise: bool = False,
) -> Generator[Trial, None, Trial]:
    """Trials of a description moved down the gradient of squared error plus `multiplier` times bits, one a round.

    `first` is the trial of `description`, which is changed in place. At the end, `description` belongs to the cheapest
    trial (for a very large image, to the last one), and the generator returns that trial. The forward pass is the real
    codec, the backward pass a smooth model of it. A round takes about the time of three restorations. A round that
    raises the cost is undone, and the stride is halved. All streams have the same quantisation step, because the
    coefficients have moved towards its multiples; the trellis's multiplier keeps the streams near the goal, at a
    distance of `log_step_move`. The descent ends at a stream that is shown as decoded, since it has no gradient.
    """
    trial = cheapest = first
    kept = description.copy() if description.nbytes <= _MAX_KEPT_BYTES else None
    mode, settings = first.mode, first.settings
    descent = _Descent(description, effort.stride * min(1.0, (settings.step * mode.scale / _REFERENCE_STEP) ** 0.5))
    for _ in range(effort.rounds):
        if trial.header.show_decoded:
            break
        gradient = trials.error_gradient(mode, trial.settings, trials.decode(trial.coded))
        gradient /= 3
        _backpropagate_through_codec(
            trials, description, gradient, trial.settings, multiplier * 8 * trial.size_bytes * _RATE_WEIGHT
        )
        descent.move(gradient)
        del gradient  # frees 600 MB for the largest images while the next stream is made
        settings = _corrected_settings(trial.settings, _CORRECTION_SHARE * log_step_move(trial))
        trial = trials.measure(mode, settings, trials.encode(mode, settings, description, optimise=optimise))
        yield trial
        if kept is None:
            cheapest = trial
        elif trial.cost(multiplier) <= cheapest.cost(multiplier):
            cheapest = trial
            np.copyto(kept, description)
        elif trial.cost(multiplier) > _MAX_COST_INCREASE * cheapest.cost(multiplier):
            trial = cheapest
            np.copyto(description, kept)
            descent.stride /= 2
    if kept is not None:
        np.copyto(description, kept)
    return cheapest


def damped(move: float, last_move: float) -> float:
    """Damp a move towards a goal. If the last move overshot, the next has at most half its length."""
    return math.copysign(min(abs(move), abs(last_move) / 2), move) if move * last_move < 0 else move


class _Descent:
    """Descent of a description in place, with running means of the gradient and of its mean square (as Adam's)."""

    def __init__(self, description: NDArray[np.float32], stride: float) -> None:
        self.stride = stride
        self._description = description
        self._mean, self._square, self._moves = np.zeros_like(description), 0.0, 0

    def move(self, gradient: NDArray[np.float32]) -> None:
        """Move the description by `stride` levels on average; overwrites `gradient`."""
        self._moves += 1
        self._square += (1 - _MOMENT_DECAY[1]) * (_mean_square(gradient) - self._square)
        gradient -= self._mean
        gradient *= 1 - _MOMENT_DECAY[0]
        self._mean += gradient
        square = self._square / (1 - _MOMENT_DECAY[1] ** self._moves)
        typical = square**0.5 * (1 - _MOMENT_DECAY[0] ** self._moves)
        np.multiply(self._mean, self.stride / max(typical, 1e-12), out=gradient)
        self._description -= gradient
        np.clip(self._description, 0, 255, out=self._description)


def _corrected_settings(settings: JpegSettings, log_step: float) -> JpegSettings:
    """Settings with the trellis multiplier changed as equivalent to a move of the log step; the step stays."""
    trellis = settings.trellis * math.exp(_TRELLIS_PER_STEP * log_step)
    least, most = (DEFAULT_TRELLIS * factor for factor in _TRELLIS_RANGE)
    return replace(settings, trellis=min(most, max(least, trellis)))


def _backpropagate_through_codec(
    trials: Trials,
    description: NDArray[np.float32],
    gradient: NDArray[np.float32],
    settings: JpegSettings,
    rate_cost: float,
) -> None:
    """Backpropagate `gradient` from the decoded picture to the description, in place, and add the rate's gradient.

    `rate_cost` is the cost of all bits of the stream; the smooth rate only distributes it. The picture is processed in
    windows, so memory does not grow with it.
    """
    height, width = description.shape[:2]
    tables = torch.from_numpy(np.stack(quantisation_tables(settings))).float()[None]
    by_rate = np.empty_like(gradient)
    total_rate = 0.0
    for top in range(0, height, _WINDOW_ROWS):
        for left in range(0, width, _WINDOW_COLUMNS):
            window = (slice(top, top + _WINDOW_ROWS), slice(left, left + _WINDOW_COLUMNS))
            with trials.stage("device"), torch.enable_grad():
                levels = (_padded_input(description[window]) / 255).requires_grad_()
                decoded, rate = smooth_jpeg(levels, tables, subsampled=settings.subsampling == "420")
                error = (decoded * _padded_input(gradient[window])).sum()
                (error_share,) = torch.autograd.grad(error, levels, retain_graph=True)
                (rate_share,) = torch.autograd.grad(rate.sum(), levels)
            total_rate += rate.sum().item()
            gradient[window] = _cropped_derivative(error_share, gradient[window])
            by_rate[window] = _cropped_derivative(rate_share, by_rate[window])
    by_rate *= rate_cost / max(total_rate, 1.0) / 255
    gradient += by_rate


def _mean_square(values: NDArray[np.float32]) -> float:
    tops = range(0, len(values), _WINDOW_ROWS)
    return sum(float(np.square(values[top : top + _WINDOW_ROWS]).sum()) for top in tops) / values.size


def _padded_input(window: NDArray[np.float32]) -> Tensor:
    """Window as a network input: [h, w, 3] or [h, w] -> [1, 3, H, W], edges replicated to whole MCUs.

    Grey becomes three equal channels; the derivative by grey is the sum of the three.
    """
    padding = [(0, -window.shape[0] % 16), (0, -window.shape[1] % 16), (0, 0)]
    padded = np.pad(window, padding[: window.ndim], mode="edge")
    return torch.from_numpy(as_colour(padded)).permute(2, 0, 1)[None]


def _cropped_derivative(derivative: Tensor, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Derivative [1, 3, H, W] cropped to the window, and summed over channels if that is grey."""
    kept: NDArray[np.float32] = derivative[0].permute(1, 2, 0).numpy()[: window.shape[0], : window.shape[1]]
    return kept if window.ndim == 3 else kept.sum(axis=2)
