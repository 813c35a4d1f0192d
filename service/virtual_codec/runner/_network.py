"""Networks on a device, and their loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from virtual_codec.errors import BadModel, is_out_of_memory
from virtual_codec.networks import ColourNet, build, use_minimal_filtering
from virtual_codec.store import Manifest, ModelStore


@dataclass(frozen=True, kw_only=True)
class Network:
    """Network ready to run. `ratio` is output over input size; see `virtual_codec.networks` for the others."""

    module: nn.Module
    ratio: float
    radius: int
    multiple: int
    stride: int


def load_network(
    store: ModelStore, manifest: Manifest, key: str, *, device: torch.device, precision: torch.dtype
) -> Network:
    """Load a model's network onto a device. Raises `BadModel`, and PyTorch's errors for a lack of memory."""
    entry = manifest.networks[key]
    module = build(entry.architecture, entry.arguments)
    colour = cast(ColourNet, module)
    try:
        module.load_state_dict(load(store.weights(manifest, key)))
    except (SafetensorError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise BadModel(f"the weights of {manifest.name}/{key} do not fit its architecture: {error}") from error
    module.eval().requires_grad_(requires_grad=False)
    module.to(device, precision)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    use_minimal_filtering(module)
    return Network(
        module=module,
        ratio=colour.ratio,
        radius=colour.radius,
        multiple=colour.multiple,
        stride=colour.stride,
    )
