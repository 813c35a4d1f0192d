"""Losses of post-processing, and the PSNR of its validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional


def charbonnier(restored: Tensor, image: Tensor, drift_weight: float = 0.0) -> Tensor:
    """Charbonnier loss, a smooth absolute error (Charbonnier et al. 1994), mean over all samples.

    The large errors of coarse qualities have less weight than in a squared error.
    """
    error = torch.sqrt((restored - image).square() + 1e-6).mean()
    return error + drift_weight * colour_drift(restored, image).mean() if drift_weight else error


def log_error(restored: Tensor, image: Tensor, drift_weight: float = 0.0) -> Tensor:
    """Logarithm of each picture's squared error, mean over the batch. It is the mean PSNR up to a factor.

    A constant of 1e-5 limits the PSNR to 50 dB, so that nearly exact pictures do not dominate the gradient.
    """
    return (squared_error(restored, image, drift_weight) + 1e-5).log().mean()


def squared_error(restored: Tensor, image: Tensor, drift_weight: float = 0.0) -> Tensor:
    """Squared error [B] of pictures [B, 3, h, w], plus the colour drift times a weight."""
    error = (restored - image).square().mean(dim=(1, 2, 3))
    return error + drift_weight * colour_drift(restored, image) if drift_weight else error


def colour_drift(restored: Tensor, image: Tensor) -> Tensor:
    """Squared error [B] of the 16x16 means of colour differences, which measures patches of wrong hue.

    It is a cheaper form of `virtual_codec.metrics.colour_drift`, for training.
    """
    means = functional.avg_pool2d(restored - image, 16)
    return (means - means.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2, 3))


def mean_psnr(restored: Tensor, image: Tensor) -> float:
    """PSNR of each picture in dB after clipping to [0, 1], mean over the batch."""
    errors = (restored.clamp(0, 1) - image).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((-10 * torch.log10(errors)).mean())


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor, float], Tensor]]] = {
    "charbonnier": charbonnier,
    "log-error": log_error,
}
