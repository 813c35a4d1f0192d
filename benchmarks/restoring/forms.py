"""Whole networks in other forms: by PyTorch's convolutions, with sums and ReLU elsewhere, two tiles at a time."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.restoring.timing import medians_s
from virtual_codec.networks._body import ConditionedBody

_ONES = [1, 1]

Convolve = Callable[[Tensor, nn.Conv2d, Tensor, Tensor], Tensor]


def form_times(module: nn.Module, picture: Tensor, vector: Tensor, rounds: int) -> dict[str, float]:
    """Processor seconds of a [1, 3, h, w] picture by form. Two at a time are given for each."""
    pair, vectors = torch.cat([picture, picture]).to(memory_format=torch.channels_last), torch.cat([vector, vector])

    def patched(forward: Callable[..., Tensor]) -> Callable[[], object]:
        def run() -> object:
            with mock.patch.object(ConditionedBody, "forward", forward):
                return module(picture, vector)

        return run

    runs: dict[str, Callable[[], object]] = {
        "as the engine runs it": lambda: module(picture, vector),
        "PyTorch's convolutions, the condition in the weights": patched(_direct),
        "the same, ReLU and sums in memory of their own": patched(_out_of_place),
        "two at a time, the condition not in the weights": lambda: module(pair, vectors),
    }
    if picture.dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        runs["the same, ReLU and sums inside oneDNN's convolutions"] = patched(_fused)
    with torch.inference_mode():
        seconds = medians_s(runs, rounds)
    return {name: it / 2 if name.startswith("two") else it for name, it in seconds.items()}


def _direct(body: ConditionedBody, features: Tensor, condition: Tensor) -> Tensor:
    for expand, reduce, weight, bias in _folded(body, features, condition):
        hidden = nn.functional.conv2d(features, weight, bias, padding=expand.padding)
        features = reduce(hidden.relu_()).add_(features)
    return features


def _out_of_place(body: ConditionedBody, features: Tensor, condition: Tensor) -> Tensor:
    for expand, reduce, weight, bias in _folded(body, features, condition):
        hidden = nn.functional.conv2d(features, weight, bias, padding=expand.padding)
        features = features + reduce(hidden.relu())
    return features


def _fused(body: ConditionedBody, features: Tensor, condition: Tensor) -> Tensor:
    fused = torch.ops.mkldnn._convolution_pointwise  # internal operation of PyTorch's compiler
    for _, reduce, weight, bias in _folded(body, features, condition):
        hidden = fused(features, weight, bias, _ONES, _ONES, _ONES, 1, "relu", [], "")
        features = fused.binary(
            hidden, features, reduce.weight, reduce.bias, _ONES, _ONES, _ONES, 1, "add", 1.0, None, [], None
        )
    return features


def _folded(
    body: ConditionedBody, features: Tensor, condition: Tensor
) -> list[tuple[nn.Conv2d, nn.Conv2d, Tensor, Tensor]]:
    """Both convolutions of each block, and weight and bias of the first one with the condition in them."""
    steps = body.embed(condition.to(features.dtype)).view(len(body.expand), 2, body.channels)
    found = []
    for (scale, shift), expand, reduce in zip(steps, body.expand, body.reduce, strict=True):
        assert isinstance(expand, nn.Conv2d)
        assert isinstance(reduce, nn.Conv2d)
        assert expand.bias is not None
        weight = (expand.weight * (1 + scale).view(-1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
        found.append((expand, reduce, weight, expand.bias * (1 + scale) + shift))
    return found
