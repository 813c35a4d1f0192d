"""Post-processing network with a U-shaped trunk: a larger receptive field for the cost of a flat trunk."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks._body import ConditionedBody, start_at_zero
from virtual_codec.networks._enlarge import enlarge
from virtual_codec.networks.condition import CONDITION_SIZE


@final
class UShapedPostprocessNet(nn.Module):
    """Post-processing network like `PostprocessNet`, with its blocks on several resolutions.

        decoded ──► plain filter ───────────────────────────────────────────────────────► + ──► restored
               └──► 1/2: conv ──► down.0 ──► skip 0 ─────────────► + ──► up.0 ─► conv ─► x2 ─┘
                         │          └─► shrink.0                   └── grow.0 ◄─┐
                         │   1/4:       down.1 ──► skip 1 ──► + ──► up.1 ───────┘
                         │                └─► shrink.1        └── grow.1 ◄─┐
                         │   1/8:             down.2 ──────────────────────┘
                         └──► is added to up.0's output before the last convolution

    The resolutions above are fractions of the restored image's. `shrink` is a 2x2 convolution with stride 2, `grow` a
    1x1 convolution whose output is shuffled to twice the size (Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015,
    with sums in place of concatenations).

    `widths` are the channels of each level, `down` and `up` the residual blocks of each level before and after the
    levels below it; each is written as numbers joined by hyphens: "48-80-128", "2-1-1", "2-1". `condition` is the
    length of the condition vector. Raises `ValueError` for a scale other than 1 or 2, and for lists of a wrong length
    or with numbers below 1.
    """

    def __init__(self, *, scale: int, widths: str, down: str, up: str, condition: int = CONDITION_SIZE) -> None:
        super().__init__()
        if scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {scale}")
        channels, down_blocks, up_blocks = (
            _parse_numbers("widths", widths),
            _parse_numbers("down", down),
            _parse_numbers("up", up),
        )
        if len(channels) < 2 or len(down_blocks) != len(channels) or len(up_blocks) != len(channels) - 1:
            raise ValueError(
                "widths must have at least two numbers, down as many and up one less; "
                f"got widths {widths}, down {down}, up {up}"
            )
        self.scale = scale
        self.ratio = scale
        self.stride = 2 if scale == 1 else 1
        self.multiple = self.stride * 2 ** (len(channels) - 1)
        self.radius = self.stride * _radius(down_blocks, up_blocks)
        self.head = nn.Conv2d(12 if scale == 1 else 3, channels[0], 3, padding=1)
        self.down = nn.ModuleList(_bodies(channels, down_blocks, condition))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.grow = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(_bodies(channels, up_blocks, condition))
        self.tail = nn.Conv2d(channels[0], 12, 3, padding=1)
        start_at_zero(self.tail)  # initially the plain filter

    def forward(self, decoded: Tensor, condition: Tensor) -> Tensor:
        """[B, 3, h, w] in [0, 1] (h, w multiples of `multiple`) and [B, K] -> [B, 3, scale*h, scale*w], not clipped."""
        small = functional.pixel_unshuffle(decoded, 2) if self.scale == 1 else decoded
        first: Tensor = self.head(small.to(self.head.weight.dtype) - 0.5)
        residual: Tensor = self.tail(first + self._trunk(first, condition))
        return enlarge(decoded, self.scale) + functional.pixel_shuffle(residual.to(decoded.dtype), 2)

    def _trunk(self, features: Tensor, condition: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for body, shrink in zip(self.down, self.shrink, strict=False):  # the lowest level is not downscaled further
            skips.append(body(features, condition))
            features = shrink(skips[-1])
        features = self.down[-1](features, condition)
        for body, grow, skip in zip(reversed(self.up), reversed(self.grow), reversed(skips), strict=True):
            features = body(skip + functional.pixel_shuffle(grow(features), 2), condition)
        return features


def _bodies(channels: list[int], blocks: list[int], condition: int) -> list[ConditionedBody]:
    """Trunks of the levels that have blocks, from the finest on."""
    return [
        ConditionedBody(channels=width, blocks=count, condition=condition)
        for width, count in zip(channels, blocks, strict=False)
    ]


def _parse_numbers(name: str, text: str) -> list[int]:
    """Whole numbers of a text such as "48-80-128"."""
    numbers = [int(part) for part in text.split("-")] if text.replace("-", "").isdecimal() else []
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{name} must be whole numbers above 0 joined by hyphens, got {text!r}")
    return numbers


def _radius(down: list[int], up: list[int]) -> int:
    """Radius of the trunk and its first and last convolution, in features of the finest level.

    A block has two 3x3 convolutions, each of which reaches one feature of its level further. Downscaling and upscaling
    add 2^levels - 1 features, because a downscaled feature covers two of the level above.
    """
    reach = 2 + (1 << len(up)) - 1
    for blocks in (down, up):
        reach += sum(2 * count << level for level, count in enumerate(blocks))
    return reach
