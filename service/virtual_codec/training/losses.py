"""What training minimises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor


def charbonnier(restored: Tensor, image: Tensor) -> Tensor:
    """A smooth absolute error (Charbonnier et al. 1994): no quality's large errors drown another's small ones."""
    return torch.sqrt((restored - image).square() + 1e-6).mean()


def log_error(restored: Tensor, image: Tensor) -> Tensor:
    """The mean over a batch of the logarithm of each picture's squared error: what the mean PSNR measures.

    Errors are counted up to 50 dB only; beyond it a picture is good enough to leave the others the gradient.
    """
    return ((restored - image).square().mean(dim=(1, 2, 3)) + 1e-5).log().mean()


def mean_psnr(restored: Tensor, image: Tensor) -> float:
    """The mean over a batch of each picture's PSNR in dB, after clipping to [0, 1]."""
    errors = (restored.clamp(0, 1) - image).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return float((-10 * torch.log10(errors)).mean())


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {"charbonnier": charbonnier, "log-error": log_error}
