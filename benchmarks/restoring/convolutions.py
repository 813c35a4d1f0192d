"""Times of a network's convolutions: as the engine runs them, in other precisions, and in 8-bit integers."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import Conv2d as QuantisedConv2d

from benchmarks.restoring.timing import medians_s
from virtual_codec.networks import keep_unfolded
from virtual_codec.networks._minimal_filter import MinimalFilter

ENGINE = "engine"
_STEP, _ZERO, _WEIGHT_STEP = 0.05, 64, 0.01  # quantisation of the random features and weights: time depends on none

Run = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Convolution of a network: its module, its input features [1, C, h, w], and its number in a picture."""

    convolution: nn.Conv2d
    shape: tuple[int, ...]
    count: int

    @property
    def name(self) -> str:
        """Channels in and out, kernel, and size of the features."""
        module = self.convolution
        size = f"{self.shape[3]}x{self.shape[2]}"
        return f"{module.in_channels} to {module.out_channels}, {module.kernel_size[0]}x{module.kernel_size[1]}, {size}"

    @property
    def gmac(self) -> float:
        """Billions of multiply-accumulate operations (GMAC) of all `count` runs."""
        module = self.convolution
        outputs = self.shape[2] * self.shape[3] // (module.stride[0] * module.stride[1])
        return self.count * module.weight.numel() * outputs / 1e9


@dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """Processor seconds of a layer's convolutions, by implementation."""

    layer: Layer
    seconds: dict[str, float]


def layers_of(network: nn.Module, picture: Tensor, vector: Tensor) -> list[Layer]:
    """Convolutions that a network runs on a picture, in order of their first run; equal ones are counted together."""
    unfolded = copy.deepcopy(network)
    keep_unfolded(unfolded)  # a folded convolution does not call its module
    seen: dict[tuple[object, ...], Layer] = {}

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        shape = tuple(given[0].shape)
        key = (module.weight.shape, shape)
        count = seen[key].count + 1 if key in seen else 1
        seen[key] = Layer(convolution=module, shape=shape, count=count)

    for module in unfolded.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(note)
    with torch.inference_mode():
        unfolded(picture, vector)
    return list(seen.values())


def layer_times(layer: Layer, precision: torch.dtype, rounds: int) -> LayerTimes:
    """Times of a layer in the engine's precision, in others, and in 8-bit integers by the installed libraries."""
    features = torch.randn(layer.shape).to(memory_format=torch.channels_last)
    module = layer.convolution
    other = torch.float32 if precision == torch.bfloat16 else torch.bfloat16
    runs: dict[str, Run] = {
        ENGINE: _as_in_engine(module, features, precision),
        "PyTorch": _plain(module, features, precision),
        "planes": _planes(module, features, precision),
    }
    runs[str(other).removeprefix("torch.")] = _plain(module, features, other)
    for backend in ("fbgemm", "onednn"):
        if backend in torch.backends.quantized.supported_engines:
            runs[f"int8, {backend}"] = _quantised(module, features, backend)
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        from benchmarks.restoring.onnx_int8 import quantised_run  # an optional package

        runs["int8, ONNX Runtime"] = quantised_run(module, features, _STEP, _ZERO, _WEIGHT_STEP)
    with torch.inference_mode():
        seconds = medians_s(runs, rounds)
    return LayerTimes(layer=layer, seconds={name: layer.count * it for name, it in seconds.items()})


def totals(times: Sequence[LayerTimes]) -> dict[str, float]:
    """Seconds of all layers, by implementation."""
    return {name: sum(it.seconds[name] for it in times) for name in times[0].seconds}


def _as_in_engine(module: nn.Conv2d, features: Tensor, precision: torch.dtype) -> Run:
    """By minimal filtering where the engine uses it: in the trunks, whose convolutions keep the number of channels."""
    is_in_trunk = module.kernel_size == (3, 3) and module.in_channels == module.out_channels
    if precision != torch.float32 or not is_in_trunk or not MinimalFilter.suits(module):
        return _plain(module, features, precision)
    minimal = MinimalFilter(module)
    return lambda: minimal.added(features, features)


def _plain(module: nn.Conv2d, features: Tensor, precision: torch.dtype) -> Run:
    given = features.to(precision)
    weight = module.weight.to(precision).contiguous(memory_format=torch.channels_last)
    bias = None if module.bias is None else module.bias.to(precision)
    return lambda: nn.functional.conv2d(given, weight, bias, module.stride, module.padding)


def _planes(module: nn.Conv2d, features: Tensor, precision: torch.dtype) -> Run:
    """Each channel a plane in memory, PyTorch's default."""
    given, weight = features.to(precision).contiguous(), module.weight.to(precision).contiguous()
    bias = None if module.bias is None else module.bias.to(precision)
    return lambda: nn.functional.conv2d(given, weight, bias, module.stride, module.padding)


def _quantised(module: nn.Conv2d, features: Tensor, backend: str) -> Run:
    """Features and weights are there as bytes, and so is the result: what converting costs is not in it."""
    torch.backends.quantized.engine = backend
    weight = module.weight.detach().float().contiguous()
    scales, zeros = torch.full((len(weight),), _WEIGHT_STEP), torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch is to drop quantised tensors one day
        quantised = QuantisedConv2d(
            module.in_channels, module.out_channels, module.kernel_size, stride=module.stride, padding=module.padding
        )
        quantised.set_weight_bias(torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8), module.bias)
        given = torch.quantize_per_tensor(features, _STEP, _ZERO, torch.quint8)
    quantised.scale, quantised.zero_point = _STEP, _ZERO
    return lambda: quantised(given)
