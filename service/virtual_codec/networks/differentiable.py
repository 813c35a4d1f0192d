"""A model of JPEG that a gradient can pass: the real decode going forward, a smooth model of the codec going back.

    description ─► colour, 4:2:0, DCT ─► z = coefficient / step ─► soft rounding ─► and back ─► decoded
                                              └─► log2(1 + 4 z^2) ─► bits

The forward values are those of the real codec, trellis and all; only derivatives come from here. The derivative of
rounding is that of z - sin(2 pi z) / (2 pi): none at a cell's middle, where nothing changes, most at its border.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

# Full-range BT.601, as JFIF has it.
_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def smooth_jpeg(description: Tensor, tables: Tensor, *, subsampled: bool = True) -> tuple[Tensor, Tensor]:
    """Code and decode in a differentiable way, 4:2:0 or 4:4:4.

    [B, 3, h, w] in [0, 1], h and w multiples of 16, and tables [B, 2, 8, 8] (luma's, chroma's) -> the decoded picture
    of the same shape, and the rate [B] in units that are proportional to bits.
    """
    ycc = torch.einsum("oc,bchw->bohw", description.new_tensor(_TO_YCC), description) * 255
    luma, chroma = ycc[:, :1] - 128, functional.avg_pool2d(ycc[:, 1:], 2) if subsampled else ycc[:, 1:]
    coded_luma, luma_rate = _through_blocks(luma, tables[:, :1])
    coded_chroma, chroma_rate = _through_blocks(chroma, tables[:, 1:].expand(-1, 2, -1, -1))
    if subsampled:
        coded_chroma = functional.interpolate(coded_chroma, scale_factor=2, mode="bilinear", align_corners=False)
    coded = torch.cat([coded_luma + 128, coded_chroma], dim=1)
    decoded = torch.einsum("oc,bchw->bohw", description.new_tensor(_TO_RGB), coded)
    return decoded / 255, luma_rate + chroma_rate


def with_forward(smooth: Tensor, real: Tensor) -> Tensor:
    """The value of `real` with the derivative of `smooth`."""
    return smooth + (real - smooth).detach()


def soft_round(values: Tensor) -> Tensor:
    """Rounding going forward; z - sin(2 pi z) / (2 pi) going back."""
    return with_forward(values - torch.sin(2 * math.pi * values) / (2 * math.pi), values.round())


def _through_blocks(plane: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """[B, C, h, w] and [B, C, 8, 8] -> the same plane coded, and its rate [B]."""
    batch, channels, height, width = plane.shape
    basis = _basis(plane)
    blocks = plane.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    levels = basis @ blocks @ basis.T / tables[:, :, None, None]
    rate = torch.log2(1 + 4 * levels.square()).sum(dim=(1, 2, 3, 4, 5))
    decoded = basis.T @ (soft_round(levels) * tables[:, :, None, None]) @ basis
    return decoded.transpose(3, 4).reshape(batch, channels, height, width), rate


def _basis(like: Tensor) -> Tensor:
    """The orthonormal 8-point DCT, a row a frequency."""
    frequency = torch.arange(8, device=like.device)[:, None]
    place = torch.arange(8, device=like.device)[None]
    waves = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    waves[0] /= math.sqrt(2)
    return waves.to(like.dtype)
