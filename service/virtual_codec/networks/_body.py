"""Trunk of the colour networks: residual blocks of plain convolutions, modulated by the stream's condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks._minimal_filter import MinimalFilter
from virtual_codec.networks.condition import CONDITION_SIZE


@final
class ConditionedBody(nn.Module):
    """Trunk of 3x3 residual blocks whose hidden channels are scaled and shifted by the condition (FiLM).

        [B, C, h, w] ──► conv ─► FiLM ─► ReLU ─► conv ──► + ──► ... ──► [B, C, h, w]
                     └────────────────────────────────────┘

    `condition` is the length of the condition vector.

    It uses plain convolutions, because depthwise and attention blocks cost two to four times more per operation on
    CPUs.
    """

    def __init__(self, *, channels: int, blocks: int, condition: int = CONDITION_SIZE) -> None:
        super().__init__()
        self.channels = channels
        self.folds = True
        self.filters: list[tuple[MinimalFilter, MinimalFilter]] = []  # of `use_minimal_filtering`, for each block
        self.expand = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.reduce = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.embed = nn.Sequential(nn.Linear(condition, 64), nn.ReLU(), nn.Linear(64, 2 * channels * blocks))
        for layer in self.reduce:  # each block starts as the identity
            assert isinstance(layer, nn.Conv2d)
            with torch.no_grad():
                layer.weight.mul_(0.1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """[B, C, h, w] and [B, condition] -> [B, C, h, w]."""
        film: Tensor = self.embed(condition.to(features.dtype))
        if self.filters and len(features) == 1 and not torch.is_grad_enabled():
            return self._filtered(features, film.view(-1, 2, self.channels).numpy())
        steps = film.view(-1, len(self.expand), 2, self.channels, 1, 1)
        for index, (expand, reduce) in enumerate(zip(self.expand, self.reduce, strict=True)):
            assert isinstance(expand, nn.Conv2d)
            scale, shift = 1 + steps[:, index, 0], steps[:, index, 1]
            hidden = (
                _folded_convolution(expand, features, scale, shift)
                if self.folds and len(features) == 1
                else expand(features) * scale + shift
            )
            features = reduce(hidden.relu_()).add_(features)  # in place: fresh memory takes longer than the sum
        return features

    def _filtered(self, features: Tensor, film: NDArray[np.float32]) -> Tensor:
        for (expand, reduce), (scale, shift) in zip(self.filters, film, strict=True):
            features = reduce.added(expand.scaled(features, 1 + scale, shift), features)
        return features


def _folded_convolution(convolution: nn.Conv2d, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`convolution(features) * scale + shift` for a batch of one, with scale and shift put into the weights.

    This saves two passes over the features: 30 % of a network's time on a CPU.
    """
    assert convolution.bias is not None
    weight = (convolution.weight * scale.view(-1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
    bias = convolution.bias * scale.flatten() + shift.flatten()
    return functional.conv2d(features, weight, bias, padding=1)


def keep_unfolded(network: nn.Module) -> None:
    """Turn folding and minimal filtering off, so that a single picture gets the same bits as in a batch."""
    for part in network.modules():
        if isinstance(part, ConditionedBody):
            part.folds, part.filters = False, []


def use_minimal_filtering(network: nn.Module) -> None:
    """Run a network's trunks by minimal filtering where that is faster. Their weights must not change afterwards.

    It applies to single pictures without gradients; batches and gradients take PyTorch's convolutions.
    """
    for body in network.modules():
        if isinstance(body, ConditionedBody):
            body.filters = [*_minimal_filters(body)]


def _minimal_filters(body: ConditionedBody) -> Iterator[tuple[MinimalFilter, MinimalFilter]]:
    for expand, reduce in zip(body.expand, body.reduce, strict=True):
        assert isinstance(expand, nn.Conv2d)
        assert isinstance(reduce, nn.Conv2d)
        if MinimalFilter.suits(expand):
            yield MinimalFilter(expand), MinimalFilter(reduce)


def start_at_zero(layer: nn.Conv2d) -> None:
    """Set a layer's parameters to zero, so that a sum with its output initially equals the other operand."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
