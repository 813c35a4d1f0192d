"""Losses of post-processing, and the PSNR of its validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor


def charbonnier(restored: Tensor, image: Tensor) -> Tensor:
    """Charbonnier loss, a smooth absolute error (Charbonnier et al. 1994), mean over all samples.

    Large errors of coarse qualities outweigh small errors of fine ones less than in a squared error.
    """
    return torch.sqrt((restored - image).square() + 1e-6).mean()


def log_error(restored: Tensor, image: Tensor) -> Tensor:
    """Logarithm of each picture's squared error, mean over the batch: the mean PSNR up to a factor.

    A constant of 1e-5 bounds it at 50 dB, so that nearly exact pictures do not dominate the gradient.
    """
    return ((restored - image).square().mean(dim=(1, 2, 3)) + 1e-5).log().mean()


def mean_psnr(restored: Tensor, image: Tensor) -> float:
    """PSNR of each picture in dB after clipping to [0, 1], mean over the batch."""
    errors = (restored.clamp(0, 1) - image).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((-10 * torch.log10(errors)).mean())


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {"charbonnier": charbonnier, "log-error": log_error}
