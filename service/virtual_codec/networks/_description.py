"""Description network (the paper's FDNN): makes the picture that the standard codec codes from the image."""

from __future__ import annotations

import math
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks._body import ConditionedBody, start_at_zero


def _lanczos_half() -> list[float]:
    """Taps of the Lanczos filter, a = 3, for half size: at (k + 1/2) / 2 for k = -6..5, with a sum of one."""
    places = [math.pi * (k + 0.5) / 2 for k in range(-6, 6)]
    taps = [math.sin(x) / x * math.sin(x / 3) / (x / 3) for x in places]
    return [tap / sum(taps) for tap in taps]


_LANCZOS_TAPS: Final = _lanczos_half()


@final
class DescriptionNet(nn.Module):
    """Description network: makes a `scale` times smaller picture, on which the standard codec spends fewer bits.

        image ──► plain half size (at scale 1: as it is) ─────────────────────────────► + ──► description
             └──► pixels unshuffled ─► conv ─► conditioned body ─► conv (─► shuffled) ──┘

    With fresh weights it equals the plain filter. The condition describes the codec's tables, so one network serves
    every quality.
    """

    def __init__(self, *, channels: int, blocks: int, scale: int = 2) -> None:
        super().__init__()
        if scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {scale}")
        self.scale = scale
        self.ratio = 1 / scale
        self.multiple = self.stride = 2
        self.radius = max(6, 2 * (2 * blocks + 2))
        self.head = nn.Conv2d(12, channels, 3, padding=1)
        self.body = ConditionedBody(channels=channels, blocks=blocks)
        self.tail = nn.Conv2d(channels, 3 if scale == 2 else 12, 3, padding=1)
        start_at_zero(self.tail)  # initially the plain filter

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] (H, W even) and [B, K] -> [B, 3, H/scale, W/scale], not clipped."""
        small = functional.pixel_unshuffle(image, 2).to(self.head.weight.dtype)
        features: Tensor = self.head(small - 0.5)
        residual: Tensor = self.tail(features + self.body(features, condition))
        if self.scale == 1:
            residual = functional.pixel_shuffle(residual, 2)
        return plain_description(image, self.scale) + residual.to(image.dtype)


def plain_description(image: Tensor, scale: int) -> Tensor:
    """Plain description: the image, or at scale 2 its Lanczos half size. [B, C, H, W] -> [B, C, H/scale, W/scale]."""
    return image if scale == 1 else shrink(image)


def shrink(image: Tensor) -> Tensor:
    """Plain filter inside the network: Lanczos at half size. [B, C, 2h, 2w] -> [B, C, h, w].

    Autocast has no effect, because in bfloat16 samples would be wrong by a level.
    """
    with torch.autocast(image.device.type, enabled=False):
        return _shrunk(image)


def _shrunk(image: Tensor) -> Tensor:
    channels = image.shape[1]
    taps = image.new_tensor(_LANCZOS_TAPS)
    across = taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    padded = functional.pad(image, (5, 5, 5, 5), mode="replicate")
    rows = functional.conv2d(padded, across, stride=(1, 2), groups=channels)
    return functional.conv2d(rows, across.transpose(2, 3), stride=(2, 1), groups=channels)
