"""Untrained networks of other shapes: cost of width, depth and resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.restoring.convolutions import layers_of
from benchmarks.restoring.timing import medians_s
from virtual_codec.networks import build, use_minimal_filtering
from virtual_codec.networks._body import ConditionedBody
from virtual_codec.networks.condition import CONDITION_SIZE

_U: Final = "u-shaped-postprocess"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Network at scale 1 by name, with its cost for each pixel and its speed."""

    name: str
    kmac_per_pixel: float
    seconds_per_megapixel: float

    @property
    def gmac_per_s(self) -> float:
        """Billions of multiply-accumulate operations per second."""
        return self.kmac_per_pixel / self.seconds_per_megapixel


@final
class _QuarterResolution(nn.Module):
    """Flat trunk at a quarter of the image's resolution: a feature stands for 4x4 pixels."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(48, channels, 3, padding=1)
        self.body = ConditionedBody(channels=channels, blocks=blocks)
        self.tail = nn.Conv2d(channels, 48, 3, padding=1)

    def forward(self, decoded: Tensor, condition: Tensor) -> Tensor:
        features = self.head(functional.pixel_unshuffle(decoded, 4))
        residual: Tensor = self.tail(features + self.body(features, condition))
        return decoded + functional.pixel_shuffle(residual, 4)


def variant_times(side: tuple[int, int], precision: torch.dtype, rounds: int) -> list[Variant]:
    """Variants timed in turns on a picture of `side` (height, width) pixels."""
    picture = torch.rand(1, 3, *side).to(precision).contiguous(memory_format=torch.channels_last)
    vector = torch.rand(1, CONDITION_SIZE).to(precision)
    networks = {name: module.to(precision).to(memory_format=torch.channels_last) for name, module in _built().items()}  # type: ignore[call-overload]
    with torch.inference_mode():
        seconds = medians_s(
            {name: lambda module=module: module(picture, vector) for name, module in networks.items()},  # type: ignore[misc]
            rounds,
        )
    pixels = side[0] * side[1]
    return [
        Variant(
            name=name,
            kmac_per_pixel=1e6 * sum(it.gmac for it in layers_of(module, picture, vector)) / pixels,
            seconds_per_megapixel=1e6 * seconds[name] / pixels,
        )
        for name, module in networks.items()
    ]


def _built() -> dict[str, nn.Module]:
    flat = {
        f"flat, 1/2, {channels} channels x {blocks} blocks": build(
            "postprocess", {"scale": 1, "channels": channels, "blocks": blocks}
        )
        for channels, blocks in ((24, 24), (32, 14), (48, 6), (64, 3), (96, 1))
    }
    quarter = {
        f"flat, 1/4, {channels} channels x {blocks} blocks": _QuarterResolution(channels, blocks).eval()
        for channels, blocks in ((64, 12), (96, 6), (128, 3))
    }
    shaped = {
        f"U, {widths} channels, {down} / {up} blocks": build(_U, {"scale": 1, "widths": widths, "down": down, "up": up})
        for widths, down, up in (
            ("48-80-128", "2-1-1", "2-1"),
            ("32-64-128", "2-2-2", "2-2"),
            ("32-96-192", "1-2-2", "1-2"),
            ("48-96-192", "1-1-1", "1-1"),
        )
    }
    networks = {
        name: module.eval().requires_grad_(requires_grad=False) for name, module in (flat | quarter | shaped).items()
    }
    for network in networks.values():
        use_minimal_filtering(network)
    return networks
