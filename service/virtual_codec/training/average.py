"""Exponential moving average of the weights: the networks that are validated and exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """Average of a network's weights, equal to them at first.

    After step n the weights enter with 1 - min(decay, n / (n + 10)), so that early averages forget the start quickly.
    """

    def update(averages: _Tensors, values: _Tensors, _step: Tensor | int) -> None:
        steps = int(average.n_averaged)  # on the processor: the argument is a copy on the device, to wait for
        weight = 1 - min(decay, steps / (steps + 10))
        torch._foreach_lerp_(list(averages), list(values), weight)

    average = AveragedModel(network, multi_avg_fn=update)
    set_averaged_steps(average, 0)
    average.eval()
    return average


def set_averaged_steps(average: AveragedModel, steps: int) -> None:
    """Set the number of steps whose weights an average holds."""
    average.n_averaged.fill_(steps + 1)  # at 0 an AveragedModel would copy the next weights, whatever the function says


def set_averaged_weights(average: AveragedModel, weights: Mapping[str, Tensor]) -> None:
    """Replace the averaged weights."""
    average.module.load_state_dict(weights)
