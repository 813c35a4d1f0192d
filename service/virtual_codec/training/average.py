"""Exponential moving average of the weights: the networks that are validated and exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a network's weights, which begins with their present values.

    The weights after step n have the factor 1 - min(decay, n / (n + 10)). The average thus forgets the initial weights
    quickly.
    """

    def update(averages: _Tensors, values: _Tensors, _step: Tensor | int) -> None:
        # n_averaged is on the processor. `_step` is its copy on the device, which would have to be waited for.
        steps = int(average.n_averaged)
        weight = 1 - min(decay, steps / (steps + 10))
        torch._foreach_lerp_(list(averages), list(values), weight)

    average = AveragedModel(network, multi_avg_fn=update)
    set_averaged_steps(average, 0)
    average.eval()
    return average


def set_averaged_steps(average: AveragedModel, steps: int) -> None:
    """Set the number of steps whose weights an average holds."""
    # At 0 an AveragedModel copies the next weights without calling the averaging function.
    average.n_averaged.fill_(steps + 1)


def set_averaged_weights(average: AveragedModel, weights: Mapping[str, Tensor]) -> None:
    """Replace the averaged weights."""
    average.module.load_state_dict(weights)
