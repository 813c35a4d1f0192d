"""Structural similarity (SSIM) as a differentiable loss term."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW_SIDE: Final = 11
_SIGMA: Final = 1.5
_C1: Final = 0.01**2
_C2: Final = 0.03**2


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of pictures [B, C, h, w] in [0, 1] with sides of at least 11, differentiable: a scalar.

    Wang, Bovik, Sheikh, Simoncelli 2004, with an 11x11 Gaussian window of sigma 1.5.
    """
    first, second = first.float(), second.float()
    channels = first.shape[1]
    offsets = torch.arange(_WINDOW_SIDE, device=first.device) - _WINDOW_SIDE // 2
    taps = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window = torch.outer(taps, taps).div(taps.sum() ** 2).expand(channels, 1, _WINDOW_SIDE, _WINDOW_SIDE)

    def blurred(picture: Tensor) -> Tensor:
        return functional.conv2d(picture, window, groups=channels)

    first_mean, second_mean = blurred(first), blurred(second)
    first_variance = blurred(first.square()) - first_mean.square()
    second_variance = blurred(second.square()) - second_mean.square()
    covariance = blurred(first * second) - first_mean * second_mean
    luminance = (2 * first_mean * second_mean + _C1) / (first_mean.square() + second_mean.square() + _C1)
    contrast = (2 * covariance + _C2) / (first_variance + second_variance + _C2)
    return (luminance * contrast).mean()
