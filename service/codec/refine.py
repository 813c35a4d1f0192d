"""Around a good trial: other settings of the encoder, and a description moved down the gradient of its cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from service.codec.effort import Effort
from service.codec.trial import Trial, Trials
from service.codecs import JpegSettings, quantisation_tables
from service.networks.differentiable import smooth_jpeg

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
_MEMORY: Final = (0.8, 0.95)  # of the gradient's running mean and mean square
_USUAL_STEP: Final = 40.0  # finer tables want shorter strides
_BAND: Final = 256  # rows whose codec is differentiated at once


def neighbours(settings: JpegSettings) -> Iterator[JpegSettings]:
    """Settings near the given ones, each moved in one way."""
    for factors in _NEIGHBOURS:
        yield replace(settings, **{name: getattr(settings, name) * factor for name, factor in factors.items()})


def descended(trials: Trials, trial: Trial, worth: float, effort: Effort, *, polish: bool = False) -> Iterator[Trial]:
    """Trials of descriptions that each go a stride further down the gradient of squared error plus bits at `worth`.

    Forward is the real codec, backward a smooth model of it. Every round costs about three restores. Not every trial is
    better than the one before: choose among them. An image that is shown as decoded has no gradient to follow.
    """
    mode, settings = trial.mode, trial.settings
    description = trials.describe(mode, settings).astype(np.float32)
    mean, square = np.zeros_like(description), 0.0
    stride = effort.stride * min(1.0, (settings.step * mode.scale / _USUAL_STEP) ** 0.5)
    for step in range(1, effort.rounds + 1):
        if trial.header.show_decoded:
            return
        by_decoded = trials.error_gradient(mode, settings, trials.decode(trial.coded)) / np.float32(3)
        gradient = _through_codec(description, by_decoded, settings, worth * 8 * trial.size_bytes * _RATE_WEIGHT)
        mean += (1 - _MEMORY[0]) * (gradient - mean)
        square += (1 - _MEMORY[1]) * (float(np.square(gradient).mean()) - square)
        typical = (square / (1 - _MEMORY[1] ** step)) ** 0.5 * (1 - _MEMORY[0] ** step)
        description -= mean * np.float32(stride / max(typical, 1e-12))
        np.clip(description, 0, 255, out=description)
        trial = trials.measure(mode, settings, trials.encode(mode, settings, description, polish=polish))
        yield trial


def _through_codec(
    description: NDArray[np.float32], by_decoded: NDArray[np.float32], settings: JpegSettings, bits_worth: float
) -> NDArray[np.float32]:
    """The derivative by a description of what `by_decoded` is the derivative of, plus that of `bits_worth`.

    `bits_worth` is what all bits of the stream cost together; the smooth rate only shares it out.
    """
    height, width = description.shape[:2]
    tables = torch.from_numpy(np.stack(quantisation_tables(settings))).float()[None]
    padding = [(0, -height % 16), (0, -width % 16), (0, 0)]
    colour = [np.pad(_three(each), padding, mode="edge") for each in (description, by_decoded)]
    by_error, by_rate = np.empty_like(colour[0]), np.empty_like(colour[0])
    total_rate = 0.0
    for top in range(0, len(colour[0]), _BAND):
        band = slice(top, top + _BAND)
        picture, pull = (torch.from_numpy(each[band]).permute(2, 0, 1)[None] for each in colour)
        with torch.enable_grad():
            levels = (picture / 255).requires_grad_()
            decoded, rate = smooth_jpeg(levels, tables, subsampled=settings.subsampling == "420")
            (error_share,) = torch.autograd.grad((decoded * pull).sum(), levels, retain_graph=True)
            (rate_share,) = torch.autograd.grad(rate.sum(), levels)
        total_rate += rate.sum().item()
        by_error[band] = error_share[0].permute(1, 2, 0).numpy()
        by_rate[band] = rate_share[0].permute(1, 2, 0).numpy() / 255
    gradient = (by_error + by_rate * np.float32(bits_worth / max(total_rate, 1.0)))[:height, :width]
    return gradient if description.ndim == 3 else np.ascontiguousarray(gradient.sum(axis=2))


def _three(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """As three equal channels, where it is grey; a derivative's parts add up to the grey one's."""
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
