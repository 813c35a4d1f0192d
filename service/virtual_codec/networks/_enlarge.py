"""Plain filter inside the networks: bicubic enlargement with a deterministic derivative on every device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import functional

_CUBIC_A: Final = -0.75  # constant of PyTorch's cubic; R. Keys, 1981, calls it a
_RADIUS: Final = 2  # an output depends on this many samples on each side of the nearest one


def enlarge(picture: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement, or nothing at scale 1: [B, C, h, w] -> [B, C, s*h, s*w]."""
    if scale == 1:
        return picture
    if picture.requires_grad and torch.is_grad_enabled():
        enlarged: Tensor = _Enlarge.apply(picture, scale)  # type: ignore[no-untyped-call]
        return enlarged
    return _bicubic(picture, scale)


@final
class _Enlarge(torch.autograd.Function):
    """PyTorch's bicubic filter with another derivative: PyTorch's uses atomic additions on CUDA, in a varying order."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, scale: int) -> Tensor:
        ctx.scale = scale
        return _bicubic(picture, scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _adjoint(gradients[0], ctx.scale), None


def _bicubic(picture: Tensor, scale: int) -> Tensor:
    return functional.interpolate(picture, scale_factor=scale, mode="bicubic", align_corners=False)


def _adjoint(gradient: Tensor, scale: int) -> Tensor:
    """Adjoint of the filter by a fixed convolution: [B, C, s*h, s*w] -> [B, C, h, w]."""
    phases = functional.pixel_unshuffle(gradient.flatten(0, 1)[:, None], scale)
    kernel = _kernel(scale).to(device=gradient.device, dtype=gradient.dtype)
    wide = functional.conv_transpose2d(phases, kernel)
    narrow = _without_edge(_without_edge(wide, 2), 3)
    return narrow.reshape(*gradient.shape[:2], *narrow.shape[2:])


def _without_edge(wide: Tensor, axis: int) -> Tensor:
    """Adjoint of repeating the first and the last sample of an axis `_RADIUS` times."""
    length = wide.shape[axis] - 2 * _RADIUS
    first = wide.narrow(axis, 0, _RADIUS).sum(dim=axis, keepdim=True)
    last = wide.narrow(axis, length + _RADIUS, _RADIUS).sum(dim=axis, keepdim=True)
    inner = wide.narrow(axis, _RADIUS, length).clone()
    inner.narrow(axis, 0, 1).add_(first)
    inner.narrow(axis, length - 1, 1).add_(last)
    return inner


@lru_cache(maxsize=4)
def _kernel(scale: int) -> Tensor:
    """Weights of the samples around the nearest one for each output of its cell: [s*s, 1, 5, 5]."""
    rows = torch.zeros(scale, 2 * _RADIUS + 1, dtype=torch.float64)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        for tap in range(-_RADIUS, _RADIUS + 1):
            rows[phase, tap + _RADIUS] = _cubic(abs(tap - offset))
    return torch.einsum("ia,jb->ijab", rows, rows).reshape(scale * scale, 1, 2 * _RADIUS + 1, -1)


def _cubic(distance: float) -> float:
    """Cubic convolution kernel (R. Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 29(6), 1981)."""
    a = _CUBIC_A
    if distance <= 1:
        return ((a + 2) * distance - (a + 3)) * distance**2 + 1
    if distance < 2:
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return 0.0
