"""Post-processing network (the paper's PPNN): restores the image from the decoded description."""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks._body import ConditionedBody, start_at_zero
from virtual_codec.networks._enlarge import enlarge

# The axes along which a picture is mirrored for each view.
_MIRRORS: Final[dict[int, tuple[tuple[int, ...], ...]]] = {1: ((),), 2: ((), (3,)), 4: ((), (3,), (2,), (2, 3))}


@final
class PostprocessNet(nn.Module):
    """Post-processing network that removes the codec's artefacts and enlarges by `scale`.

        decoded ──► plain filter (identity, or bicubic) ───────────────────────► + ──► restored
               └──► half resolution ─► conv ─► conditioned body ─► conv ─► x2 ───┘

    The trunk always works at half the image's resolution: at scale 2 on the decoded picture itself, at scale 1 on its
    pixels unshuffled two by two. Both scales therefore cost the same, a quarter of the cost of full resolution.

    Outside of training, `views` of the decoded picture are restored and averaged: 2 adds the picture mirrored left to
    right, 4 also top to bottom (the self-ensemble of Timofte, Rothe and Van Gool, "Seven ways to improve example-based
    single image super resolution", arXiv 1511.02228).
    """

    def __init__(self, *, scale: int, channels: int, blocks: int, views: int = 1) -> None:
        super().__init__()
        if scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {scale}")
        if views not in _MIRRORS:
            raise ValueError(f"views must be 1, 2 or 4, got {views}")
        self.views = views
        self.scale = scale
        self.ratio = scale
        self.multiple = self.stride = 2 if scale == 1 else 1
        self.radius = self.multiple * (2 * blocks + 2)
        self.head = nn.Conv2d(12 if scale == 1 else 3, channels, 3, padding=1)
        self.body = ConditionedBody(channels=channels, blocks=blocks)
        self.tail = nn.Conv2d(channels, 12, 3, padding=1)
        start_at_zero(self.tail)  # initially the plain filter

    def forward(self, decoded: Tensor, condition: Tensor) -> Tensor:
        """[B, 3, h, w] in [0, 1] (h, w even at scale 1) and [B, K] -> [B, 3, scale*h, scale*w], not clipped."""
        plain = enlarge(decoded, self.scale)
        if self.training or self.views == 1:
            return plain + self._residual(decoded, condition)
        residuals = [self._residual(decoded.flip(axes), condition).flip(axes) for axes in _MIRRORS[self.views]]
        return plain + torch.stack(residuals).mean(dim=0)

    def _residual(self, decoded: Tensor, condition: Tensor) -> Tensor:
        small = functional.pixel_unshuffle(decoded, 2) if self.scale == 1 else decoded
        weights = self.head.weight.dtype
        features: Tensor = self.head(small.to(weights) - 0.5)
        residual: Tensor = self.tail(features + self.body(features, condition))
        return functional.pixel_shuffle(residual.to(decoded.dtype), 2)
