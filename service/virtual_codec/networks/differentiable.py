"""Differentiable model of JPEG: the real codec in the forward pass, a smooth model of it in the backward pass.

    description ─► colour, 4:2:0, DCT ─► z = coefficient / step ─► soft rounding ─► and back ─► decoded
                                              └─► log2(1 + 4 z^2) ─► bits

The forward values come from the real codec, including its trellis; only the derivatives come from this module. The
derivative of rounding is that of z - sin(2 pi z) / (2 pi): zero at a cell's centre, where the level does not change,
and largest at its border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

# Full-range BT.601, as JFIF has it.
_RGB_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_YCC_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Quantised levels of one picture, as an encoder with a trellis chose them.

    `luma` is [1, h/8, w/8, 8, 8], `chroma` [2, h/8, w/8, 8, 8] of the chroma planes' own size.
    """

    luma: Tensor
    chroma: Tensor


def smooth_jpeg(
    description: Tensor, tables: Tensor, *, subsampled: bool | Sequence[bool], levels: Sequence[Levels] | None = None
) -> tuple[Tensor, Tensor]:
    """Decoded picture and rate of a description by the smooth model of JPEG.

    Description [B, 3, h, w] in [0, 1], with h and w multiples of 16, and tables [B, 2, 8, 8] of luma and chroma ->
    picture of the same shape, and rate [B] in a unit proportional to bits. Pictures have 4:2:0 if `subsampled` is True,
    else 4:4:4; it is one flag, or one for each picture. Without `levels`, coefficients are rounded with the derivative
    of `soft_round`. With the levels of a trellis, the derivative is that of `kept_levels`.
    """
    flags = [subsampled] * len(description) if isinstance(subsampled, bool) else list(subsampled)
    if len(flags) != len(description):
        raise ValueError(f"subsampled needs a value for each of {len(description)} pictures, got {len(flags)}")
    groups = [[index for index, flag in enumerate(flags) if flag is kind] for kind in (True, False)]
    if not all(groups):
        return _smooth_group(description, tables, flags[0], levels)
    parts = [
        _smooth_group(description[group], tables[group], kind, levels and [levels[index] for index in group])
        for kind, group in zip((True, False), groups, strict=True)
    ]
    order = torch.tensor(groups[0] + groups[1], device=description.device).argsort()
    return torch.cat([picture for picture, _ in parts])[order], torch.cat([rate for _, rate in parts])[order]


def with_forward(smooth: Tensor, real: Tensor) -> Tensor:
    """Tensor with the value of `real` and the derivative of `smooth`."""
    return smooth + (real - smooth).detach()


def soft_round(values: Tensor) -> Tensor:
    """Rounding in the forward pass; the derivative is that of z - sin(2 pi z) / (2 pi)."""
    return with_forward(values - torch.sin(2 * math.pi * values) / (2 * math.pi), values.round())


def kept_levels(values: Tensor, levels: Tensor) -> Tensor:
    """Levels of a trellis in the forward pass; the derivative is 1 if the trellis kept the level.

    If the trellis set the level to 0, the derivative is half that of `soft_round`. (The derivative of rounding is
    largest at |z| = 1/2, where a trellis drops the coefficient, so a description that follows it gains nothing.)
    """
    soft = values - torch.sin(2 * math.pi * values) / (2 * math.pi)
    return with_forward(torch.where(levels != 0, values, 0.5 * soft), levels)


def _smooth_group(
    description: Tensor, tables: Tensor, subsampled: bool, levels: Sequence[Levels] | None
) -> tuple[Tensor, Tensor]:
    """Decoded pictures and rates of pictures that share their subsampling."""
    luma_levels = torch.stack([each.luma for each in levels]).to(description.device) if levels else None
    chroma_levels = torch.stack([each.chroma for each in levels]).to(description.device) if levels else None
    ycc = torch.einsum("oc,bchw->bohw", description.new_tensor(_RGB_TO_YCC), description) * 255
    luma, chroma = ycc[:, :1] - 128, functional.avg_pool2d(ycc[:, 1:], 2) if subsampled else ycc[:, 1:]
    coded_luma, luma_rate = _code_blocks(luma, tables[:, :1], luma_levels)
    coded_chroma, chroma_rate = _code_blocks(chroma, tables[:, 1:].expand(-1, 2, -1, -1), chroma_levels)
    if subsampled:
        coded_chroma = functional.interpolate(coded_chroma, scale_factor=2, mode="bilinear", align_corners=False)
    coded = torch.cat([coded_luma + 128, coded_chroma], dim=1)
    decoded = torch.einsum("oc,bchw->bohw", description.new_tensor(_YCC_TO_RGB), coded)
    return decoded / 255, luma_rate + chroma_rate


def _code_blocks(plane: Tensor, tables: Tensor, levels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Decoded plane and rate [B] of a plane [B, C, h, w], by tables [B, C, 8, 8]."""
    batch, channels, height, width = plane.shape
    basis = _dct_basis(plane)
    blocks = plane.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    values = basis @ blocks @ basis.T / tables[:, :, None, None]
    rate = torch.log2(1 + 4 * values.square()).sum(dim=(1, 2, 3, 4, 5))
    quantised = soft_round(values) if levels is None else kept_levels(values, levels.to(values.dtype))
    decoded = basis.T @ (quantised * tables[:, :, None, None]) @ basis
    return decoded.transpose(3, 4).reshape(batch, channels, height, width), rate


def _dct_basis(like: Tensor) -> Tensor:
    """Orthonormal 8-point DCT matrix; each row is a frequency."""
    frequency = torch.arange(8, device=like.device)[:, None]
    place = torch.arange(8, device=like.device)[None]
    waves = torch.cos((2 * place + 1) * frequency * math.pi / 16) / 2
    waves[0] /= math.sqrt(2)
    return waves.to(like.dtype)
